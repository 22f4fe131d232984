"""A job of one's own, in one command::

upcall service do spark submit-job name=count program=@examples/count_job.py restart=never
"""

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("count").getOrCreate()
even = spark.range(1_000_000).where("id % 2 = 0").count()
print(f"{even} even numbers")
spark.stop()
