"""How an update is spread over devices; each strategy is an object the loop is given."""
