"""The data folder of a cluster on this machine, and the processes of ours that its keeper keeps."""
