"""What an application receives of an exchange, whenever it stops waiting for it."""

import asyncio

import pytest

from fg_tls.listener.exchange import Exchange

TEXTS = ["one", "two", "three"]


def exchanged(app, *, turns):
    """What `app` returns, given `receive` and functions: messages arrive, and so many turns of the loop pass."""

    async def run():
        queue = asyncio.Queue()
        results = []

        async def arrive(*texts):
            for text in texts:
                queue.put_nowait({"type": "websocket.receive", "text": text})
            await turn()

        async def turn():
            for _ in range(turns):
                await asyncio.sleep(0)

        async def called(scope, receive, send):
            results.append(await app(receive, arrive, turn))

        tasks = asyncio.all_tasks()
        await Exchange({"type": "websocket"}, queue.get, None, max_body=1, valid=None).run(called)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks  # nobody waits for the client any more
        return results[0]

    return asyncio.run(asyncio.wait_for(run(), 30))


@pytest.mark.parametrize("turns", range(8))
def test_a_message_that_comes_while_the_application_stops_waiting_is_not_lost(turns):
    async def app(receive, arrive, turn):
        received = []
        for text in TEXTS:
            impatient = asyncio.ensure_future(receive())
            await turn()
            await arrive(text)
            impatient.cancel()
            try:
                received.append(await impatient)
            except asyncio.CancelledError:
                received.append(await receive())
        return [message["text"] for message in received]

    assert exchanged(app, turns=turns) == TEXTS


@pytest.mark.parametrize("turns", range(8))
def test_two_that_wait_get_a_message_each(turns):
    async def app(receive, arrive, turn):
        waiting = [asyncio.ensure_future(receive()) for _ in TEXTS]
        await turn()
        for text in TEXTS:
            await arrive(text)
        return sorted(message["text"] for message in await asyncio.gather(*waiting))

    assert exchanged(app, turns=turns) == sorted(TEXTS)


def test_an_application_that_asks_no_more_leaves_nothing_behind():
    async def app(receive, arrive, turn):
        impatient = asyncio.ensure_future(receive())
        await turn()
        impatient.cancel()
        await asyncio.wait([impatient])
        return "over"

    assert exchanged(app, turns=3) == "over"
