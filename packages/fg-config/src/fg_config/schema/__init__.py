"""JSON Schema (2020-12) for `meta.yaml`, for `dynamic_args` and for the arguments of a target."""
