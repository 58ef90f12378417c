"""Values of events as JSON shows them."""

import msgspec


def readable(value: object) -> object:
    """Return `value` with structs stored as arrays opened to maps, and bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: readable(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        pairs = bool(value) and all(
            isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            for item in value
        )
        return dict(value) if pairs else [readable(item) for item in value]
    if isinstance(value, dict):
        return {key: readable(item) for key, item in value.items()}
    return value
