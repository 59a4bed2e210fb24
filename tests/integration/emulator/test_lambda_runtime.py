"""Functions fail, log and are isolated as on AWS."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.integration


def test_error_type_is_the_name_of_the_exception(emulator):
    name = emulator.create_function(
        """
        class StaleBatchError(Exception):
            pass

        def handler(event, context):
            raise StaleBatchError("too old")
        """
    )
    document, kind = emulator.invoke(name)
    assert kind == "Unhandled"
    assert document["errorType"] == "StaleBatchError"
    assert document["errorMessage"] == "too old"
    assert document["requestId"]
    assert [frame.split(", ")[-1].splitlines()[0] for frame in document["stackTrace"]] == ["in handler"]


def test_a_failed_handler_keeps_its_warm_process(emulator):
    name = emulator.create_function(
        """
        import os
        def handler(event, context):
            if event == "fail":
                raise ValueError
            return os.getpid()
        """
    )
    before, _ = emulator.invoke(name)
    emulator.invoke(name, "fail")
    assert emulator.invoke(name) == (before, None)


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("import nowhere", "index.handler", "Runtime.ImportModuleError", "Unable to import module 'index': No module"),
        ("x = 1", "index.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'index'"),
        ("def handler(:", "index.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'index'"),
        ("x = {}['key']", "index.handler", "KeyError", "'key'"),
    ],
)
def test_init_errors(emulator, source, handler, error_type, message):
    name = emulator.create_function(source, Handler=handler)
    for _ in range(2):  # every invocation tries again
        document, kind = emulator.invoke(name)
        assert (kind, document["errorType"]) == ("Unhandled", error_type)
        assert document["errorMessage"].startswith(message)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
        ("os._exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit()", "Runtime exited without providing a reason"),
    ],
)
def test_a_dead_process_is_an_exit_error_and_the_next_invocation_gets_a_new_one(emulator, statement, reason):
    name = emulator.create_function(
        f"""
        import os, sys
        def handler(event, context):
            print("last words", flush=True)
            if event == "die":
                {statement}
            return "alive"
        """
    )
    document, kind = emulator.invoke(name, "die")
    assert (kind, document["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert document["errorMessage"].startswith("RequestId: ")
    assert document["errorMessage"].endswith(f" Error: {reason}")
    assert "last words" in emulator.logged(name)
    assert emulator.invoke(name) == ("alive", None)


def test_timeout(emulator):
    name = emulator.create_function(
        """
        import time
        def handler(event, context):
            time.sleep(event)
            return context.get_remaining_time_in_millis()
        """,
        Timeout=3,
    )
    document, kind = emulator.invoke(name, 300)
    assert (kind, document["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert document["errorMessage"].endswith(" Error: Task timed out after 3.00 seconds")
    remaining, _ = emulator.invoke(name, 0)
    assert 0 < remaining <= 3000


def test_functions_see_their_package_and_the_runtime_only(emulator):
    name = emulator.create_function(
        """
        import importlib.util, os, sys
        def handler(event, context):
            return {
                "importable": [name for name in event if importlib.util.find_spec(name)],
                "environment": dict(os.environ),
                "first": sys.path[0] == os.environ["LAMBDA_TASK_ROOT"] == os.getcwd(),
            }
        """,
        files={"mine.py": ""},
        Environment={"Variables": {"SETTING": "", "AWS_ENDPOINT_URL_SFN": "http://other"}},
    )
    seen, _ = emulator.invoke(name, ["mine", "boto3", "ministack", "hypercorn", "local", "dynaurora"])
    assert seen["importable"] == ["mine", "boto3"]
    assert seen["first"]
    environment = seen["environment"]
    assert environment["AWS_ENDPOINT_URL"] == emulator.endpoint
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == name
    assert environment["AWS_REGION"] == "us-east-1"
    assert environment["SETTING"] == ""
    assert environment["AWS_ENDPOINT_URL_SFN"] == "http://other"
    assert not [key for key in environment if key.startswith(("GATEWAY", "DYNAURORA", "S3_DATA", "STATE_"))]


def test_functions_reach_the_local_aws_with_boto3(emulator):
    bucket = emulator.create_bucket()
    name = emulator.create_function(
        """
        import boto3
        def handler(event, context):
            boto3.client("s3").put_object(Bucket=event, Key="key", Body=b"written")
        """
    )
    assert emulator.invoke(name, bucket) == (None, None)
    assert emulator.objects(bucket) == {"key": b"written"}


def test_output_and_errors_are_logged_in_order_and_never_disturb_the_answer(emulator):
    name = emulator.create_function(
        r"""
        import json, logging, os, sys
        def handler(event, context):
            print('{"status": "ok", "result": "not the answer"}')
            print("second", file=sys.stderr)
            sys.stdout.write("third\n")
            os.write(1, b"fourth\n")
            logging.warning("fifth")
            print(json.dumps({"_aws": {"CloudWatchMetrics": []}, "sixth": 6}))
            return "answer"
        """
    )
    assert emulator.invoke(name) == ("answer", None)
    lines = emulator.logged(name)
    assert lines[1:4] == ["second", "third", "fourth"]
    assert lines[4].startswith("[WARNING]\t")
    assert lines[4].endswith("\tfifth")
    assert json.loads(lines[5])["sixth"] == 6


def test_large_payloads(emulator, error_of):
    name = emulator.create_function("def handler(event, context): return 'x' * event['size'] + event['padding']")
    padding = "é" * 1_000_000
    answer, _ = emulator.invoke(name, {"size": 3_000_000, "padding": padding})
    assert len(answer) == 4_000_000
    document, _ = emulator.invoke(name, {"size": 6_291_555, "padding": ""})
    assert document["errorType"] == "Function.ResponseSizeTooLarge"
    answer, _ = emulator.invoke(name, {"size": 6_291_554, "padding": ""})
    assert len(answer) == 6_291_554
    refused = error_of(emulator.client("lambda").invoke, FunctionName=name, Payload=b'"' + b"x" * 6_291_456 + b'"')
    assert refused == "RequestEntityTooLargeException"


def test_a_log_larger_than_a_pipe_does_not_block(emulator):
    name = emulator.create_function(
        """
        def handler(event, context):
            for _ in range(2000):
                print("x" * 999)
            return "done"
        """
    )
    assert emulator.invoke(name) == ("done", None)
    assert len(emulator.logged(name)) == 2000


@pytest.mark.parametrize("value", [None, "text", "123", 5, [], {"a": None}, "😀 é", 10**30, True])
def test_any_json_value_comes_back_as_it_was(emulator, value):
    echo = "function-that-echoes"
    try:
        emulator.client("lambda").get_function(FunctionName=echo)
    except emulator.client("lambda").exceptions.ResourceNotFoundException:
        emulator.create_function("def handler(event, context): return event", FunctionName=echo)
    assert emulator.invoke(echo, value) == (value, None)


def test_a_result_that_is_not_json(emulator):
    name = emulator.create_function("def handler(event, context): return object()")
    document, _ = emulator.invoke(name)
    assert document["errorType"] == "Runtime.MarshalError"
    assert document["errorMessage"].startswith("Unable to marshal response: ")


def test_reserved_concurrency_throttles_callers(emulator, error_of):
    name = emulator.create_function("def handler(event, context): pass")
    emulator.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    assert error_of(emulator.client("lambda").invoke, FunctionName=name) == "TooManyRequestsException"


def test_new_code_replaces_the_old(emulator):
    name = emulator.create_function("def handler(event, context): return 'old'")
    assert emulator.invoke(name) == ("old", None)
    package = emulator.make_package({"index.py": "def handler(event, context): return 'new'"})
    emulator.client("lambda").update_function_code(FunctionName=name, ZipFile=package)
    assert emulator.invoke(name) == ("new", None)


def test_an_invocation_under_way_outlives_an_update(emulator):
    bucket = emulator.create_bucket()
    source = f"""
import boto3, time
def handler(event, context):
    boto3.client("s3").put_object(Bucket="{bucket}", Key="started")
    while "go on" not in [o["Key"] for o in boto3.client("s3").list_objects_v2(Bucket="{bucket}")["Contents"]]:
        time.sleep(0.02)
    return "old"
"""
    name = emulator.create_function(source)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(emulator.invoke, name)
        emulator.wait_until(lambda: emulator.objects(bucket))
        package = emulator.make_package({"index.py": "def handler(event, context): return 'new'"})
        emulator.client("lambda").update_function_code(FunctionName=name, ZipFile=package)
        assert emulator.invoke(name) == ("new", None)
        emulator.client("s3").put_object(Bucket=bucket, Key="go on")
        assert answer.result() == ("old", None)


def test_only_so_many_processes_wait_and_those_that_wait_longest_are_ended(start_emulator):
    emulator = start_emulator(DYNAURORA_WARM_FUNCTIONS="2")
    source = """
        import os
        def handler(event, context):
            return os.getpid()
        """
    first, second, third = (emulator.create_function(source) for _ in range(3))
    pids = {name: emulator.invoke(name)[0] for name in (first, second, third)}
    assert emulator.invoke(second) == (pids[second], None)
    assert emulator.invoke(third) == (pids[third], None)
    assert emulator.invoke(first)[0] != pids[first]
    assert emulator.invoke(third) == (pids[third], None)
    assert emulator.invoke(second)[0] != pids[second], "it had waited longest"


def test_only_so_many_processes_start_at_once(emulator):
    source = """
        import time
        began = time.monotonic()
        time.sleep(0.3)
        ended = time.monotonic()
        def handler(event, context):
            return began, ended
        """
    at_once = 2 * (os.cpu_count() or 1)
    names = [emulator.create_function(source) for _ in range(at_once + 2)]
    with ThreadPoolExecutor(len(names)) as callers:
        times = [answer for answer, _ in callers.map(emulator.invoke, names)]
    assert max(sum(began <= moment < ended for began, ended in times) for moment, _ in times) <= at_once


FORKED = """
    import os, sys
    def handler(event, context):
        if event == "kill what started you":
            os.kill(os.getppid(), 9)
            import time; time.sleep(20)
        return {"parent": os.getppid(), "label": os.environ.get("LABEL"), "cwd": os.getcwd(), "argv": sys.argv[1:]}
    """


def test_processes_after_a_packages_first_are_forked_and_have_their_own_environment(emulator):
    names = [
        emulator.create_function(FORKED, {"label.txt": "one package"}, Environment={"Variables": {"LABEL": label}})
        for label in "abc"
    ]
    first, second, third = (emulator.invoke(name)[0] for name in names)
    assert [answer.pop("label") for answer in (first, second, third)] == ["a", "b", "c"]
    assert first.pop("parent") == emulator.process.pid
    assert second == third, "of one parent, which is not the emulator"
    assert second.pop("parent") != emulator.process.pid
    assert first == second


def test_a_fork_server_that_is_killed_is_followed_by_another(emulator):
    names = [emulator.create_function(FORKED, {"label.txt": "another package"}) for _ in range(4)]
    for name in names[:2]:
        emulator.invoke(name)
    document, kind = emulator.invoke(names[1], "kill what started you")
    assert (kind, document["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert document["errorMessage"].endswith("signal: killed")
    parents = [emulator.invoke(name)[0]["parent"] for name in names[1:]]
    assert parents[-1] != emulator.process.pid


def test_how_long_an_invocation_took_is_a_metric_whoever_invoked(emulator):
    name = emulator.create_function("import time\ndef handler(event, context): time.sleep(event)")
    emulator.invoke(name, 0.2)
    emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"0.3")
    asked = {
        "Namespace": "AWS/Lambda",
        "MetricName": "Duration",
        "Dimensions": [{"Name": "FunctionName", "Value": name}],
    }
    deadline = time.monotonic() + 30
    while True:
        now = datetime.now(UTC)
        found = emulator.client("cloudwatch").get_metric_statistics(
            **asked,
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=600,
            Statistics=["SampleCount", "Minimum"],
        )["Datapoints"]
        if sum(each["SampleCount"] for each in found) >= 2 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert sum(each["SampleCount"] for each in found) == 2
    assert min(each["Minimum"] for each in found) >= 200
