import queue
import threading

import pytest
import torch

from fg_inference import Engine, Failed, Finished, GenerationRequest, Sampling, TextPiece
from fg_inference.errors import InferenceError, QueueFullError, RequestError, ShuttingDownError

GREEDY = Sampling(temperature=0)
WAIT = 60


def request(engine, text="In the beginning", **settings):
    settings = {"max_tokens": 20, "sampling": GREEDY, "ignore_eos": True} | settings
    return GenerationRequest(prompt=tuple(engine.tokenizer(text)["input_ids"]), **settings)


def answer(engine, asked):
    """(text, end) of one request."""
    events = queue.Queue()
    engine.submit(asked, events.put)
    text = ""
    while isinstance(event := events.get(timeout=WAIT), TextPiece):
        text += event.text
    return text, event


class Blocker:
    """A request that holds the engine's thread at its first piece of text until it is released."""

    def __init__(self, engine, **settings):
        self.begun, self.released, self.events = threading.Event(), threading.Event(), queue.Queue()
        self.generation = engine.submit(request(engine, max_tokens=100, **settings), self._take)
        assert self.begun.wait(WAIT)

    def _take(self, event):
        self.events.put(event)
        self.begun.set()
        assert self.released.wait(WAIT)

    def end(self):
        self.released.set()
        while isinstance(event := self.events.get(timeout=WAIT), TextPiece):
            pass
        return event


def test_temperature_zero_is_the_greedy_decoding_of_transformers(engine):
    asked = request(engine)
    text, end = answer(engine, asked)
    ids = torch.tensor([asked.prompt])
    reference = ids
    for _ in range(20):  # no cache, no `generate`: the definition
        logits = engine.model(reference).logits
        reference = torch.cat([reference, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert text == engine.tokenizer.decode(reference[0, ids.shape[1] :], skip_special_tokens=True)
    assert end == Finished("length", 20)
    generated = engine.model.generate(ids, max_new_tokens=20, do_sample=False, eos_token_id=None)
    assert generated.tolist() == reference.tolist()


def test_the_same_seed_gives_the_same_text_whatever_came_between(engine):
    asked = request(engine, sampling=Sampling(temperature=1.5, seed=7))
    first = answer(engine, asked)
    other = answer(engine, request(engine, sampling=Sampling(temperature=1.5, seed=8)))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    assert answer(engine, asked) == first
    assert other[0] != first[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_texts_differ(engine):
    asked = request(engine, sampling=Sampling(temperature=2.0))
    assert len({answer(engine, asked)[0] for _ in range(4)}) > 1


@pytest.mark.parametrize("sampling", [Sampling(top_k=1), Sampling(top_p=1e-6), Sampling(min_p=1.0)])
def test_each_filter_at_its_tightest_is_greedy(engine, sampling):
    assert answer(engine, request(engine, sampling=sampling)) == answer(engine, request(engine))


def test_a_repetition_penalty_changes_the_text(engine):
    penalised = request(engine, sampling=Sampling(temperature=0, repetition_penalty=5.0), max_tokens=30)
    assert answer(engine, penalised) != answer(engine, request(engine, max_tokens=30))


def test_any_token_of_a_list_of_end_tokens_ends_the_text(loaded):
    model, tokenizer = loaded
    plain = Engine(model, tokenizer, name="tiny")
    asked = request(plain, max_tokens=8)
    prompt = torch.tensor([asked.prompt])
    new = model.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=None)[0, prompt.shape[1] :].tolist()
    plain.close()
    end_token = new[4]
    first = new.index(end_token)
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, end_token]
    try:
        engine = Engine(model, tokenizer, name="tiny")
    finally:
        model.generation_config.eos_token_id = before
    expected = tokenizer.decode(new[:first], skip_special_tokens=True)
    assert answer(engine, request(engine, max_tokens=8, ignore_eos=False)) == (expected, Finished("stop", first + 1))
    assert answer(engine, asked)[1] == Finished("length", 8)
    engine.close()


def test_a_stop_string_across_tokens_ends_the_text_before_it(engine):
    whole, _ = answer(engine, request(engine, max_tokens=30))
    for length in (1, 3, 7):
        stop = whole[10 : 10 + length]
        text, end = answer(engine, request(engine, max_tokens=30, stops=("not there", stop)))
        assert text == whole[: whole.index(stop)]
        assert end.reason == "stop"


def test_a_stop_string_that_is_a_special_token_is_matched_as_a_token(engine):
    tokenizer = engine.tokenizer
    prompt = torch.tensor([request(engine).prompt])

    def drawn(seed):
        options = {"do_sample": True, "temperature": 100.0, "top_k": 0, "eos_token_id": None}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return engine.model.generate(prompt, max_new_tokens=100, **options)[0, prompt.shape[1] :].tolist()

    seed, new = next((seed, new) for seed in range(100) if tokenizer.pad_token_id in (new := drawn(seed)))
    first = new.index(tokenizer.pad_token_id)
    settings = {"sampling": Sampling(temperature=100, seed=seed), "max_tokens": 100}
    expected = tokenizer.decode(new[:first], skip_special_tokens=True)
    assert answer(engine, request(engine, **settings, stops=(tokenizer.pad_token,))) == (
        expected,
        Finished("stop", first + 1),
    )
    assert answer(engine, request(engine, **settings))[1] == Finished("length", 100)


def test_a_receiver_that_fails_leaves_the_engine_working(engine, caplog):
    def broken(event):
        raise OSError("the receiver is broken")

    engine.submit(request(engine), broken)
    assert answer(engine, request(engine, max_tokens=2))[1] == Finished("length", 2)
    assert "could not be delivered" in caplog.text


def test_a_cancelled_generation_ends_after_a_token_and_the_next_one_runs(engine):
    blocker = Blocker(engine)
    waiting = request(engine, max_tokens=3)
    blocker.generation.cancel()
    end = blocker.end()
    assert end.reason == "cancelled" and end.completion_tokens <= 6  # of 100: those of the first piece, and one more
    assert answer(engine, waiting)[1] == Finished("length", 3)
    assert (engine.counts.cancelled, engine.counts.completed) == (1, 1)


def test_a_request_cancelled_while_it_waits_is_never_computed(engine):
    blocker, events = Blocker(engine), queue.Queue()
    engine.submit(request(engine), events.put).cancel()
    blocker.generation.cancel()
    blocker.end()
    assert events.get(timeout=WAIT) == Finished("cancelled", 0)


def test_a_full_queue_refuses_and_says_when_to_come_back(engine):
    blocker, events = Blocker(engine), queue.Queue()
    for _ in range(2):
        engine.submit(request(engine, max_tokens=1), lambda event: isinstance(event, Finished) and events.put(event))
    with pytest.raises(QueueFullError, match="3 requests are open already") as caught:
        engine.submit(request(engine), events.put)
    assert 1 <= caught.value.retry_after <= 60
    assert engine.counts.refused == 1
    blocker.generation.cancel()
    blocker.end()
    assert [events.get(timeout=WAIT) for _ in range(2)] == [Finished("length", 1)] * 2


def test_the_context_limits_prompt_and_answer_together(engine):
    fitting = GenerationRequest(prompt=(5,) * 120, max_tokens=50, sampling=GREEDY, ignore_eos=True)
    assert answer(engine, fitting)[1] == Finished("length", 8)
    with pytest.raises(RequestError, match=r"the prompt has 128 tokens.* 128 tokens must hold") as caught:
        engine.submit(GenerationRequest(prompt=(5,) * 128, max_tokens=1), print)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(RequestError, match="no tokens"):
        engine.submit(GenerationRequest(prompt=(), max_tokens=1), print)


def test_a_generation_that_fails_leaves_the_engine_working(engine, caplog):
    broken = GenerationRequest(prompt=(10**6,), max_tokens=1)
    text, end = answer(engine, broken)
    assert text == "" and isinstance(end, Failed) and isinstance(end.error, InferenceError)
    assert str(end.error) == "generation failed: IndexError"
    assert answer(engine, request(engine, max_tokens=2))[1] == Finished("length", 2)
    assert engine.counts.failed == 1


def test_closing_cancels_what_runs_and_refuses_what_comes(loaded):
    engine = Engine(*loaded, name="tiny")
    blocker, events = Blocker(engine), queue.Queue()
    engine.submit(request(engine), events.put)
    closing = threading.Thread(target=engine.close)
    closing.start()
    assert blocker.generation._cancelled.wait(WAIT)
    assert blocker.end().reason == "cancelled"
    closing.join(WAIT)
    assert isinstance(events.get(timeout=WAIT).error, ShuttingDownError)
    with pytest.raises(ShuttingDownError):
        engine.submit(request(engine), events.put)


def test_prompts_and_texts_stay_out_of_the_log(engine, caplog):
    caplog.set_level("DEBUG")
    text, _ = answer(engine, request(engine, "The quick brown secret"))
    assert "length after" in caplog.text
    assert "secret" not in caplog.text and text not in caplog.text


def test_a_request_that_is_cancelled_while_it_waits_leaves_its_place_at_once(engine):
    blocker = Blocker(engine)
    ends = queue.Queue()
    for _ in range(50):  # far more than may wait, one after the other
        first, second = (engine.submit(request(engine), ends.put) for _ in range(2))
        with pytest.raises(QueueFullError):
            engine.submit(request(engine), ends.put)
        first.cancel()
        second.cancel()
        assert [ends.get(timeout=WAIT) for _ in range(2)] == [Finished("cancelled", 0)] * 2
    assert engine.counts.cancelled == 100 and engine.counts.refused == 50
    last = engine.submit(request(engine), ends.put)
    last.cancel()
    last.cancel()
    assert blocker.end() == Finished("length", 100)
    assert answer(engine, request(engine))[1] == Finished("length", 20)
    assert ends.qsize() == 1 and engine.counts.cancelled == 101
