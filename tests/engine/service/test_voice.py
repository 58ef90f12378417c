import logging
import os
import threading

from engine.service import voice as module
from engine.service.voice import LINES_MAX, Voice, overheard


def test_lines_leave_in_order() -> None:
    ours, theirs = os.pipe()
    voice = Voice(theirs)
    for number in range(100):
        voice.say(f"line {number}")
    voice.close()
    os.close(theirs)
    with os.fdopen(ours) as read:
        assert read.read().splitlines() == [f"line {number}" for number in range(100)]


def test_who_does_not_read_holds_nobody_up_and_is_told_later() -> None:
    ours, theirs = os.pipe()
    voice = Voice(theirs)
    line = "x" * 1_000  # LINES_MAX of them are more than a pipe holds
    for _ in range(3 * LINES_MAX):
        voice.say(line)
    seen: list[str] = []
    with os.fdopen(ours) as read:
        seen.append(read.readline())  # the thread goes on: there is room
        told = threading.Event()

        def take() -> None:
            for found in read:
                seen.append(found)
                if "left out" in found:
                    told.set()

        reading = threading.Thread(target=take)
        reading.start()
        while not told.wait(0.001):  # others have their turn meanwhile
            voice.say("and again")
        voice.close()
        os.close(theirs)
        reading.join()
    assert seen.count(f"{line}\n") < 3 * LINES_MAX
    said = [found for found in seen if "left out" in found]
    assert "lines were left out: nobody read them in time" in said[0]


def test_a_reader_that_is_gone_is_no_error() -> None:
    ours, theirs = os.pipe()
    voice = Voice(theirs)
    os.close(ours)
    for _ in range(10):
        voice.say("nobody hears this")
    voice.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "voice"]
    os.close(theirs)


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    voice = Voice(theirs)
    line = "y" * 10_000
    for _ in range(50):
        voice.say(line)
    with os.fdopen(ours) as read:
        assert [read.readline() for _ in range(50)] == [f"{line}\n"] * 50
        voice.close()
    os.close(theirs)


def test_without_anywhere_to_say_it_nothing_is_said() -> None:
    voice = Voice(None)
    voice.say("x")
    voice.close()
    assert module.CLOSE_S > 0


def test_what_libraries_log_is_said_and_holds_nobody_up() -> None:
    ours, theirs = os.pipe()
    voice = Voice(theirs)
    log = logging.getLogger("a library")
    with overheard(voice):
        log.info("this is nothing")
        try:
            os.close(-1)
        except OSError:
            log.exception("a socket could not be had")
        for _ in range(3 * LINES_MAX):
            log.error("x" * 1_000)  # more than a pipe holds
    handlers = logging.getLogger().handlers
    assert not [each for each in handlers if type(each).__name__ == "_Overheard"]
    with os.fdopen(ours) as read:
        assert read.readline() == "tanist: a socket could not be had\n"
        assert read.readline() == "Traceback (most recent call last):\n"
        reading = threading.Thread(target=read.read)
        reading.start()
        voice.close()
        os.close(theirs)
        reading.join()
