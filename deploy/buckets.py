"""Make the buckets that do not exist yet: ``python buckets.py dvc mlflow``."""

import os
import sys

import boto3
from botocore.exceptions import ClientError

client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
for bucket in sys.argv[1:]:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        client.create_bucket(Bucket=bucket)
