"""What is measured, each by one command; every report says under which conditions."""
