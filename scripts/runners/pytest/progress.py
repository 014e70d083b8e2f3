"""What is known of a trial so far, and its result."""

from .wire import encode, text

# Maximum bytes of passed examples: the slave keeps no more of them.
PASSED = 1024 * 1024
# Maximum bytes of all that are kept for the other examples with their messages.
WITH_MESSAGES = 4 * 1024 * 1024
# Maximum bytes of all examples: the slave reads lines of at most 8 MiB.
TOTAL = 7 * 1024 * 1024
# Maximum bytes of a message once there are many.
SHORT = 200


class Progress:
    """A trial of a spec file: counts are exact, and examples kept as far as there is room.

    Passed examples are left out first; of failures the messages are shortened before one is left out.
    """

    def __init__(self, spec_file):
        self.spec_file = spec_file
        self.counts = {"passed": 0, "pending": 0, "failed": 0, "error": 0}
        self.examples = []
        # As long as it is below PASSED there is room for all examples, and none is measured.
        self.bound = 0
        self.size = 0
        self.passed_size = 0
        self.cut = 0
        self.running = None
        self.done = None

    def take(self, event):
        if "started" in event:
            self.running = event["started"]
        elif "example" in event:
            self.running = None
            self.counts[event["example"]["status"]] += 1
            self.keep(event["example"])
        else:
            self.running = None
            self.done = event["done"]

    def keep(self, example):
        if self.bound <= PASSED:
            # No character takes more than six bytes.
            self.bound += 300 + 6 * sum(len(value) for value in example.values() if isinstance(value, str))
            if self.bound <= PASSED:
                self.examples.append(example)
                return
            earlier, self.examples = self.examples, []
            for one in earlier:
                self.measure(one)
        self.measure(example)

    def measure(self, example):
        """Keeps an example if there is room for it."""
        if self.size > WITH_MESSAGES and "message" in example:
            example = {**example, "message": text(example["message"], SHORT)}
        # A comma and a space come between two.
        size = 2 + len(encode(example).encode("utf-8", "replace"))
        passed = example["status"] == "passed"
        if self.size + size > TOTAL or (passed and self.passed_size + size > PASSED):
            self.cut += 1
            return
        self.size += size
        self.passed_size += size if passed else 0
        self.examples.append(example)

    def result(self, died=None, status=None, **fields):
        done = self.done or {}
        message = done.get("message")
        failed = self.counts["failed"] + self.counts["error"]
        if died:
            message = f"the process of the test {died}"
            if self.running:
                self.keep({**self.running, "status": "error", "message": f"{message} in this test"})
                message += f", in test '{self.running['id']}'"
            status = status or "error"
        elif done.get("status"):
            status = done["status"]
        elif failed:
            status = "failed"
        elif done.get("exitstatus") == 1:
            status, message = "failed", "pytest ended with status 1, though no test failed"
        elif self.counts["passed"]:
            status = "passed"
        elif "nothing" in done and not self.counts["pending"]:
            status, message = "error", done["nothing"]
        else:
            status = "pending"
        for error in done.get("outside", ()):
            self.keep({"id": self.spec_file, "name": "(outside of tests)", "status": "error", "message": error})
        answer = {
            "status": status,
            "passed": self.counts["passed"],
            "pending": self.counts["pending"],
            "failed": failed,
            "examples": self.examples,
            **fields,
        }
        if self.cut:
            answer["examples_cut"] = self.cut
        if message:
            answer["message"] = message
        return answer
