"""Building blocks of language models: plain torch source that is copied beside the weights it belongs to.

Nothing here imports Forgather. A block imports torch, transformers and its siblings (relatively), so that an
exported model directory is readable and loadable on its own.
"""
