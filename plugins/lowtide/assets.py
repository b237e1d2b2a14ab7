"""The asset that a successful baseline updates, and by which a comparison finds it."""

from airflow.sdk import Asset

BASELINE = Asset(name="lowtide_baseline", uri="lowtide://baseline", group="lowtide")
