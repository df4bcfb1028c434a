"""Settings from the environment."""

from __future__ import annotations

import pytest

from kimera.errors import ConfigurationError
from kimera.settings import load_settings


def test_a_wrong_setting_is_named_and_its_value_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a setting that cannot be read is named with the next step, without its value."""
    monkeypatch.setenv("KIMERA_DEADLINE", "canary-value")
    load_settings.cache_clear()
    with pytest.raises(ConfigurationError, match="KIMERA_DEADLINE") as caught:
        load_settings()
    load_settings.cache_clear()
    assert "canary-value" not in str(caught.value)
    assert "docs/settings.md" in caught.value.message
