"""A queue in memory that keeps its contracts, for dispatchers and executors that are each broken in one way."""

import logging
from contextlib import contextmanager
from datetime import timedelta

from automation.testing.contracts.builders import NOW
from automation.testing.contracts.transport import Transport

__all__ = ["InMemory", "Messages", "RaisesWhenDown", "StuckAfterARollback"]


class Messages:
    """Messages with their times; a clock and a transaction of its own."""

    horizon = timedelta(minutes=8)

    def __init__(self):
        self.now = NOW
        self.is_down = False
        self.queued = []
        self.uncommitted = None
        self.gathered = None

    def send(self, message):
        for waiting in (self.gathered, self.uncommitted):
            if waiting is not None:
                waiting.append(message)
                return
        self.put(message)

    def put(self, message):
        if self.is_down:
            logging.getLogger("queue").error("not sent: %s", message)
        else:
            self.queued.append(message)

    @contextmanager
    def transaction(self):
        self.uncommitted = []
        try:
            yield
            messages = self.uncommitted
        finally:
            self.uncommitted = None
        for message in messages:
            self.put(message)

    @contextmanager
    def together(self):
        self.gathered = []
        try:
            yield
            messages = self.gathered
        finally:
            self.gathered = None
        for message in messages:
            self.send(message)

    def work_off(self):
        due = [message for message in self.queued if message["at"] <= self.now]
        self.queued = [message for message in self.queued if message["at"] > self.now]
        for message in due:
            self.work(message)

    def work(self, message):
        """Do what a message says."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a message does.")


class StuckAfterARollback(Messages):
    """Takes what comes after a rollback for part of the transaction that is gone."""

    @contextmanager
    def transaction(self):
        try:
            with super().transaction():
                yield
        except ZeroDivisionError:
            self.uncommitted = []
            raise


class RaisesWhenDown(Messages):
    """Lets a failure to send reach whoever has committed."""

    def put(self, message):
        if self.is_down:
            raise ConnectionError("the queue is down")
        super().put(message)


class InMemory(Transport):
    """How the queue is handled; `queue_class` says which one."""

    queue_class: type[Messages]

    def make(self):
        self.made = self.queue_class()
        return self.made

    def transaction(self):
        return self.made.transaction()

    def work_off(self, queue):
        queue.work_off()

    def pass_time(self, queue, by):
        queue.now += by

    def now(self):
        return self.made.now

    def messages(self, queue):
        return queue.queued

    @contextmanager
    def broken_transport(self, queue):
        queue.is_down = True
        yield
        # The transaction inside has ended by now.
        queue.is_down = False
