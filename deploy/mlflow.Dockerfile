# MLflow's server with PostgreSQL and S3; its own image has no driver for the former.
FROM python:3.12-slim-bookworm
RUN pip install --no-cache-dir mlflow==3.17.2 psycopg2-binary==2.9.13 boto3==1.43.117 cryptography \
 && useradd --create-home --uid 10001 mlflow
USER mlflow
