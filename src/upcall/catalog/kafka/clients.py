"""How clients of a Kafka connect, as it stands."""

from typing import Final

from upcall.catalog.kafka.config import MECHANISM
from upcall.service import Client

LIBRDKAFKA: Final = f"""\
bootstrap.servers={{{{addresses}}}}
{{{{login}}}}security.protocol=SASL_PLAINTEXT
{{{{login}}}}sasl.mechanism={MECHANISM}
sasl.username={{{{user}}}}
sasl.password={{{{password}}}}
"""
LOGIN_MODULE: Final = "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule"
JAVA: Final = f"""\
bootstrap.servers={{{{addresses}}}}
{{{{login}}}}security.protocol=SASL_PLAINTEXT
{{{{login}}}}sasl.mechanism={MECHANISM}
{LOGIN_MODULE} required username="{{{{user}}}}" password="{{{{password}}}}";
"""
PYTHON: Final = """\
from pathlib import Path
from confluent_kafka import Producer

settings = dict(line.split("=", 1) for line in Path("{{folder}}/librdkafka.conf").read_text().splitlines())
producer = Producer(settings)
print(sorted(producer.list_topics(timeout=30).topics))"""

CLIENTS: Final = (
    Client(
        "Python (confluent-kafka)", "client", PYTHON, {"librdkafka.conf": LIBRDKAFKA},
        shell=("{{python}}", "-m", "upcall.catalog.kafka.shell", "{{folder}}/librdkafka.conf"),
    ),
    Client("kcat", "client", 'kcat -F "{{folder}}/librdkafka.conf" -L', {"librdkafka.conf": LIBRDKAFKA}),
    Client(
        "Java, and Kafka's own tools", "client",
        'kafka-topics.sh --bootstrap-server {{addresses}} --command-config "{{folder}}/client.properties" --list',
        {"client.properties": JAVA},
    ),
)  # fmt: skip
