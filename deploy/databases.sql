-- POSTGRES_DB is MLflow's.
CREATE DATABASE prefect;
