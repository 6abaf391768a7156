"""What differs: overrides of single values, sweeps over them, comparing two graphs, and the record a run leaves."""
