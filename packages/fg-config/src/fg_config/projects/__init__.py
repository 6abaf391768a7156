"""Directories with configs: workspaces, `meta.yaml`, the configs of a project and the flags they declare."""
