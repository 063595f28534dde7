"""Buckets of Google Cloud Storage and of Azure, as obstore opens them.

Both have conditional writes of their own: Google's name the generation of an object, Azure's its ETag. Credentials
come from the environment or the machine's role, as for S3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore

from actors.errors import StoreRefused


@dataclass(frozen=True)
class Cloud:
    """What is different between providers, for the store and for what it says.

    ``version`` is the field of an object's description that a conditional write names; ``credentials`` are the
    variables that open a bucket, ``bucket`` what the provider calls one, ``endpoint`` the variable of another server.
    """

    scheme: str
    version: Literal["e_tag", "version"]
    credentials: str
    bucket: str
    endpoint: str


S3 = Cloud("s3", "e_tag", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "bucket", "AWS_ENDPOINT_URL")
GOOGLE = Cloud(
    "gs", "version", "GOOGLE_APPLICATION_CREDENTIALS (a file on every node)", "bucket", "STORAGE_EMULATOR_HOST"
)
AZURE = Cloud(
    "az",
    "e_tag",
    "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or AZURE_STORAGE_SAS_TOKEN)",
    "container",
    "AZURE_STORAGE_ENDPOINT",
)
CLOUDS = {cloud.scheme: cloud for cloud in (S3, GOOGLE, AZURE)}
VARIABLES = (
    "AWS_",
    "AZURE_CLIENT_",
    "AZURE_FEDERATED_TOKEN",
    "AZURE_STORAGE_",
    "AZURE_TENANT_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "STORAGE_EMULATOR_HOST",
)
"""What variables begin with that decide how a bucket is reached."""


def open_google(bucket: str, environment: Mapping[str, str], options: Mapping[str, Any], retries: Any) -> Any:
    """Open a bucket of Google Cloud Storage; nothing is read or written yet.

    ``STORAGE_EMULATOR_HOST`` names a server that stands in for Google's, without credentials, as for gcsfs.

    Raises
    ------
    StoreRefused
        If the file of credentials can't be read.
    """
    emulator = environment.get("STORAGE_EMULATOR_HOST", "")
    place: dict[str, Any] = {}
    if emulator:
        address = emulator if "://" in emulator else f"http://{emulator}"
        nobody = {"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True}
        place["service_account_key"] = json.dumps({"gcs_base_url": address, **nobody})
    plain = {**options, "allow_http": emulator != "" and not emulator.startswith("https://")}
    try:
        return GCSStore(bucket, client_options=plain, retry_config=retries, **place)
    except BaseError as error:
        advice = f"Check {GOOGLE.credentials}, or use a machine role"
        raise StoreRefused(f"gs://{bucket}: {_said(error)}. {advice}") from None


def open_azure(container: str, environment: Mapping[str, str], options: Mapping[str, Any], retries: Any) -> Any:
    """Open a container of an Azure storage account; nothing is read or written yet.

    Raises
    ------
    StoreRefused
        If the account isn't named, or its key can't be one.
    """
    endpoint = environment.get("AZURE_STORAGE_ENDPOINT", "")
    plain = {**options, "allow_http": endpoint.startswith("http://")}
    try:
        return AzureStore(container, client_options=plain, retry_config=retries)
    except BaseError as error:
        raise StoreRefused(f"az://{container}: {_said(error)}. Set {AZURE.credentials}") from None


def _said(error: Exception) -> str:
    """Take the first line of what obstore says: the rest repeats the configuration."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.partition(" error: ")[2] or line
