"""The gradient of an update does not depend on how the update is cut into micro-batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fg_data_server import Sample
from fg_trainers import Trainer, TrainingArguments
from fg_trainers.data.collate import DataCollatorForCausalLM
from fg_trainers.data.loader import UpdateLoader
from fg_trainers.data.sources import as_stream
from fg_trainers.errors import ArgumentsError
from fg_trainers.losses import loss_for
from fg_trainers.strategies.single import SingleDevice


def gradient(model, rows, batch_size, accumulation):
    strategy = SingleDevice("cpu")
    strategy.prepare(lambda: model)
    stream = as_stream(rows, seed=5)
    loader = UpdateLoader(
        source=stream, collate=DataCollatorForCausalLM(), batch_size=batch_size, accumulation=accumulation
    )
    update = loader.fetch(stream.start())
    assert len(update.micro_batches) == accumulation
    strategy.forward_backward(update.micro_batches, loss_for(model), global_tokens=update.tokens)
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-6)])
@pytest.mark.parametrize(("batch_size", "accumulation"), [(1, 24), (2, 12), (3, 8), (8, 3), (12, 2)])
def test_any_cut_of_an_update_gives_the_same_gradient(make_model, rows, dtype, tolerance, batch_size, accumulation):
    whole = gradient(make_model(dtype), rows, 24, 1)
    parts = gradient(make_model(dtype), rows, batch_size, accumulation)
    assert (parts - whole).norm() / whole.norm() <= tolerance


def test_ranks_together_read_what_one_process_reads(rows):
    stream, collate = as_stream(rows, seed=5), DataCollatorForCausalLM()

    def sequences(rank, size, batch_size, accumulation):
        loader = UpdateLoader(
            source=stream,
            collate=collate,
            batch_size=batch_size,
            accumulation=accumulation,
            data_rank=rank,
            data_size=size,
        )
        update = loader.fetch(stream.start())
        return [row[row >= 0].tolist() for batch in update.micro_batches for row in batch["labels"]], update

    alone, update = sequences(0, 1, 12, 2)
    shares = [sequences(rank, 3, 4, 2) for rank in range(3)]
    assert sorted(alone) == sorted(row for rows_of_rank, _ in shares for row in rows_of_rank)
    assert sum(share.tokens for _, share in shares) == update.tokens
    assert {share.cursor for _, share in shares} == {update.cursor}


def test_the_logits_path_gives_the_same_gradient_as_the_fused_loss(make_model, rows):
    fused = gradient(make_model(torch.float64), rows, 12, 2)
    model = make_model(torch.float64)
    model.can_return_hidden_states = False
    assert torch.allclose(gradient(model, rows, 12, 2), fused, rtol=1e-10, atol=1e-12)


def test_a_loss_that_counts_otherwise_than_the_loader_is_refused(make_model, rows, tmp_path):
    def padding_too(logits, labels):
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        return loss, torch.tensor(labels.numel())

    args = TrainingArguments(output_dir=str(tmp_path), max_steps=1, save_strategy="no")
    trainer = Trainer(args, model=make_model(), train_dataset=rows, compute_loss_func=padding_too, callbacks=[])
    with pytest.raises(ArgumentsError, match="labels to predict"):
        trainer.train()


def test_packed_documents_of_a_transformers_model_do_not_see_each_other():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    torch.manual_seed(0)
    strategy = SingleDevice("cpu")
    (model,) = strategy.prepare(lambda: transformers.LlamaForCausalLM(config))
    documents = [[1, 5, 6, 7, 8], [1, 9, 10, 11]]

    def loss_of(*samples):
        batch = DataCollatorForCausalLM()(
            [Sample(input_ids=np.array(i), document_starts=np.array(s)) for i, s in samples]
        )
        return strategy.evaluate(batch, loss_for(model)).sum.item()

    apart = sum(loss_of((document, [0])) for document in documents)
    packed = loss_of(([*documents[0], *documents[1]], [0, 5]))
    assert packed == pytest.approx(apart, rel=1e-5)
