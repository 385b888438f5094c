"""The operator's environment: defaults, and clear words for what is wrong."""

import pytest

from elasticjob_operator import settings
from elasticjob_operator.settings import Settings, SettingsError


def test_nothing_set_means_the_defaults():
    assert settings.read({"PATH": "/bin"}) == Settings()


def test_empty_means_not_set():
    empty = {"ELASTICJOB_OPERATOR_CLIENT_IMAGE": "", "ELASTICJOB_OPERATOR_WORKERS": ""}
    assert settings.read(empty) == Settings()


def test_each_setting_has_its_variable():
    read = settings.read(
        {
            "ELASTICJOB_OPERATOR_CLIENT_IMAGE": "c",
            "ELASTICJOB_OPERATOR_ETCD_IMAGE": "e",
            "ELASTICJOB_OPERATOR_IMAGE_PULL_POLICY": "Always",
            "ELASTICJOB_OPERATOR_NAMESPACE": "ml",
            "ELASTICJOB_OPERATOR_PROBE_PORT": "0",
            "ELASTICJOB_OPERATOR_WORKERS": "3",
            "ELASTICJOB_OPERATOR_LOG_FORMAT": "json",
            "ELASTICJOB_OPERATOR_OPERATOR_NAMESPACE": "infra",
            "ELASTICJOB_OPERATOR_KEY_REF": "infra/key",
            "ELASTICJOB_OPERATOR_LEASE": "infra/operator",
            "ELASTICJOB_OPERATOR_METRICS_PORT": "9",
            "ELASTICJOB_OPERATOR_SILENCE_LIMIT_S": "90",
        }
    )
    assert read == Settings(
        "c", "e", "Always", "ml", 0, 3, "json", "infra", "infra/operator", "infra/key", 9, 90
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WORKERS", "many", "_WORKERS is 'many'; allowed is a number from 1 to 1000"),
        ("WORKERS", "0", "_WORKERS is '0'; allowed is a number from 1 to 1000"),
        ("LOG_FORMAT", "xml", "_LOG_FORMAT is 'xml'; allowed are text, json"),
        ("KEY_REF", "key", "_KEY_REF is 'key'; allowed is NAMESPACE/NAME"),
        ("AUTHORITY", "key", "_AUTHORITY is not known; known are "),
        ("WORKER", "1", "_WORKER is not known; known are ELASTICJOB_OPERATOR_CLIENT_IMAGE, "),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(name, value, words):
    with pytest.raises(SettingsError) as caught:
        settings.read({f"ELASTICJOB_OPERATOR_{name}": value})
    assert words in str(caught.value)
