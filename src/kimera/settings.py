"""Settings: the only place that reads the environment (prefix ``KIMERA_``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kimera.errors import ConfigurationError

__all__ = ["GrafanaSettings", "Settings", "load_grafana", "load_settings", "variable"]


class Settings(BaseSettings):
    """Everything that can be set from outside. Sizes are bytes, durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="KIMERA_", extra="ignore", frozen=True, populate_by_name=True)

    home: Path = Field(default=Path("~/.kimera"), description="Folder for state, blobs and caches.")
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL address; unset means SQLite in the home folder."
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Redis address for short-term memories; unset means SQL rows when served."
    )
    memory_index_mb: float = Field(
        default=0.0,
        ge=0,
        description="MiB one memory's index may take in this process; past it candidates come from PostgreSQL, with "
        "the same answers, later. 0: no limit. SQLite keeps the index and warns.",
    )
    synchronous: Literal["NORMAL", "FULL"] = Field(
        default="NORMAL", description="SQLite durability against power loss; FULL is slower."
    )
    folders: str = Field(
        default="",
        description="Folders that missions started over HTTP may read, separated by ':'; {tenant} stands for the "
        "tenant's name. Empty: files must be uploaded.",
    )
    upload_files: int = Field(default=500, ge=1, le=5_000, description="Files one upload may hold.")
    upload_days: float = Field(
        default=30.0, gt=0, description="Days after its mission's end for which uploaded files are kept."
    )
    verify_seconds: float = Field(default=120.0, gt=0, description="Seconds a verification over HTTP may take.")
    worker: str = Field(default="w1", description="Stable slot name of this process; unique among live processes.")
    workers: int = Field(default=2, ge=1, le=64, description="Missions one worker process runs at once.")
    deadline: float = Field(default=900.0, gt=0, description="Seconds a mission may take unless told otherwise.")
    budget_usd: str = Field(default="0", description="Money a mission may spend unless told otherwise.")
    model: str | None = Field(default=None, description="Model name; unset means offline mode.")
    embeddings: Literal["auto", "off"] = Field(default="auto", description="off: keyword search only.")
    encoder_path: Path | None = Field(
        default=None,
        description="Folder with model.safetensors and tokenizer.json; unset: the installed weight package.",
    )
    sandbox_minimum: Literal["none", "reduced", "full"] = Field(
        default="reduced", description="Least isolation under which generated code may run."
    )
    max_files: int = Field(default=5_000, ge=1, description="Files read from one folder.")
    max_file_bytes: int = Field(default=512 * 1024**2, ge=1, description="Largest single file that is read.")
    max_folder_bytes: int = Field(default=4 * 1024**3, ge=1, description="Total size read from one folder.")
    metrics_enabled: bool = Field(
        default=True, description="false: nothing is counted, served or rolled up; logs, spans and events stay."
    )
    metrics_detailed: bool = Field(
        default=False, description="true: also distributions of whole populations, and exemplars."
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of the listener for Prometheus.")
    metrics_port: int = Field(
        default=8080,
        ge=0,
        le=65_535,
        description="Port of the listener for Prometheus, one per process; 0: a free one.",
    )
    secret_rules: Path | None = Field(
        default=None, description="TOML file with more shapes of credentials to hide; google-re2 patterns."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="Least level logged; setting it also makes `kimera run` print its JSON log lines on stderr.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="OTLP/HTTP collector that gets a copy of every span (extra `otel`); unset: spans stay here.",
    )
    host: str = Field(default="127.0.0.1", description="Address the gateway listens on; all but loopback need a key.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port the gateway listens on; 0 takes a free one.")
    keys: Literal["auto", "required"] = Field(
        default="auto", description="required: a key is needed on loopback too, as behind a proxy on this machine."
    )
    allowed_hosts: str = Field(
        default="", description="Host names the gateway answers to besides loopback's, separated by commas."
    )
    cors_origins: str = Field(
        default="", description="Origins whose pages may call the gateway, e.g. https://a.example, by commas."
    )
    behind_tls: bool = Field(default=False, description="The gateway is reached by https: send HSTS.")
    max_body_bytes: int = Field(default=1 << 20, ge=1, description="Largest JSON body of a request.")
    memory_body_bytes: int = Field(
        default=16 << 20, ge=1, description="Largest body of a request to the sequence memory, imports too."
    )
    max_upload_bytes: int = Field(default=64 << 20, ge=1, description="Largest body of an upload.")
    body_timeout: float = Field(default=30.0, gt=0, description="Seconds a request's body may take to arrive.")
    heap_arenas: int = Field(
        default=2,
        ge=0,
        le=1024,
        description="Arenas of glibc's heap that `kimera serve` spreads its threads over; more of them keep more "
        "memory than is in use. 0: as MALLOC_ARENA_MAX says, else eight per core. No effect with other C libraries.",
    )
    max_requests: int = Field(default=128, ge=1, description="Requests answered at once; more get 503.")
    max_streams: int = Field(default=256, ge=1, description="Event streams open at once; more get 503.")
    rate_per_key: float = Field(default=200.0, gt=0, description="Requests a second per key; bursts of twice that.")
    rate_per_address: float = Field(default=400.0, gt=0, description="Requests a second per address; likewise.")
    missions_per_tenant: int = Field(default=100, ge=1, description="Unfinished missions a tenant may have.")
    drain_delay: float = Field(
        default=0.0, ge=0, description="Seconds the gateway still takes requests after SIGTERM, as not ready."
    )
    drain_timeout: float = Field(default=20.0, gt=0, description="Seconds running requests get to end on SIGTERM.")

    @property
    def home_path(self) -> Path:
        """Return the home folder as an absolute path; it may not exist yet."""
        return self.home.expanduser().absolute()


class GrafanaSettings(BaseSettings):
    """Where boards are pushed; read by `kimera telemetry dashboards push` and by nothing else."""

    model_config = SettingsConfigDict(env_prefix="GRAFANA_", extra="ignore", frozen=True)

    url: str | None = Field(default=None, description="Address of a Grafana, for `kimera telemetry dashboards push`.")
    api_key: SecretStr | None = Field(default=None, description="Service account token that may write dashboards.")


def load_grafana() -> GrafanaSettings:
    """Read the two variables now; nothing keeps them."""
    return GrafanaSettings()


@cache
def load_settings() -> Settings:
    """Read the environment once for this process; raises `ConfigurationError` naming what to mend, never its value."""
    try:
        return Settings()
    except ValidationError as invalid:
        wrong = [f"{_named(str(error['loc'][0]))}: {error['msg']}" for error in invalid.errors()]
        raise ConfigurationError(
            f"{'; '.join(wrong)}. Mend or unset it; docs/settings.md lists all settings.", "settings"
        ) from None


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias) if alias is not None else f"KIMERA_{name.upper()}"


def _named(place: str) -> str:
    return variable(place) if place in Settings.model_fields else place
