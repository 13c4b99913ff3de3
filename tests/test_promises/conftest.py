from ..test_engine.conftest import images, validated  # noqa: F401
