"""From graph back to text: YAML that reads back equal, and Python source."""
