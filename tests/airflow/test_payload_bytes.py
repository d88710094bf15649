"""What the DAG says is what the device gets, byte for byte, on every path that a payload can take through Airflow."""

from __future__ import annotations

import base64

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor

AT = "AT+CFUN=1\r\nOK\r\n\n"


def send(task_id, payload, **options):
    options = {"sim": task_id, "device_port": 4000, "poll_interval": 0.1} | options
    return SuperSimIpCommandOperator(task_id=task_id, payload=payload, **options)


def roll_out(task_id, payload, **options):
    options = {"targets": [task_id], "device_port": 4000, "poll_interval": 0.1} | options
    return SuperSimRolloutOperator(task_id=task_id, payload=payload, **options)


def received(world, names):
    got = {name: [base64.b64decode(one["base64"]).decode() for one in world.datagrams(name)] for name in names}
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in got.items()}


def test_line_ends_types_and_file_names_arrive_as_they_were_written(world, new_dag, play, tmp_path):
    from airflow.providers.common.compat.sdk import task

    (tmp_path / "at.txt").write_bytes(AT.encode() + b"{{ ds_nodash is defined }}\r\n")
    (tmp_path / "rows.jsonl").write_text('{"sim": "own_file", "payload": "fmt {{x}}\\r\\n"}\n')
    url = "fetch https://example.com/fw.json"
    expected = {
        "text": AT,
        "template": f"temp-less {AT}",
        "tree": '{"at":"AT\\r\\n","n":900,"on":true,"text":"n=900","list":[1.5,"\\n"]}',
        "file": f"{AT}True\r\n",
        "mapped_1": AT,
        "mapped_2": '{"a":"x\\r\\n"}',
        "url": url,
        "pushed": f"{AT}{{{{ left alone }}}}",
        "pushed_part": '{"a":"\\r\\n{{ left alone }}"}',
        "r_text": AT,
        "r_template": f"r_template {AT}",
        "r_tree": '{"at":"AT\\r\\n","n":900,"on":true,"zone":"z\\r\\n"}',
        "r_file": f"{AT}True\r\n",
        "r_url": url,
        "r_filters": f"20260329-MACRO-<x>-{AT}True\r\n",
        "own_list": "price {{ ds }} end\r\n",
        "own_xcom": "fmt {{x}}\r\n",
        "own_file": "fmt {{x}}\r\n",
        "own_url": "a.txt",
    }
    world.seed(sims=[{"unique_name": name} for name in expected])
    with new_dag(
        template_searchpath=str(tmp_path),
        params={"n": 900, "on": True, "day": "2026-03-29"},
        user_defined_macros={"macro": lambda: "MACRO"},
        user_defined_filters={"angle": lambda text: f"<{text}>"},
    ) as dag:

        @task(multiple_outputs=True)
        def made():
            rows = [{"sim": "own_xcom", "payload": "fmt {{x}}\r\n"}]
            return {"text": f"{AT}{{{{ left alone }}}}", "part": "\r\n{{ left alone }}", "rows": rows}

        pushed = made()
        send("text", AT)
        send("template", "{{ task.task_id[:4] }}-less " + AT)
        tree = {"at": "AT\r\n", "n": "{{ params.n }}", "on": "{{ params.on }}"}
        send("tree", tree | {"text": "n={{ params.n }}", "list": ["{{ 3 / 2 }}", "\n"]})
        send("file", "at.txt")
        SuperSimIpCommandOperator.partial(task_id="mapped", device_port=4000, poll_interval=0.1).expand_kwargs(
            [{"sim": "mapped_1", "payload": AT}, {"sim": "mapped_2", "payload": {"a": "x\r\n"}}]
        )
        send("url", url, callback_url="http://127.0.0.1:9/{{ params.n }}.json", callback_method="GET")
        send("pushed", pushed["text"])
        send("pushed_part", {"a": pushed["part"]})
        roll_out("r_text", AT)
        roll_out("r_template", "{{ device.sim }} " + AT)
        roll_out("r_tree", tree | {"zone": "{{ device.zone }}"}, targets=[{"sim": "r_tree", "zone": "z\r\n"}])
        roll_out("r_file", "at.txt")
        roll_out("r_url", url)
        words = "{{ macros.datetime.fromisoformat(params.day) | ds_nodash }}-{{ macro() }}-{{ 'x' | angle }}-"
        roll_out("r_filters", words + "{% include 'at.txt' %}")
        rows = [
            {"sim": "{{ 'own_list' }}", "payload": "price {{ ds }} end\r\n"},
            {"sim": "own_url", "payload": "a.txt", "note": "a.json"},
        ]
        roll_out("list", "x", targets=rows)
        roll_out("xcom", "x", targets=pushed["rows"])
        roll_out(
            "rows",
            "x",
            targets=None,
            targets_path=f"{tmp_path}/rows.jsonl",
            report_path=f"{tmp_path}/{{{{ run_id }}}}.jsonl",
        )
    ended = play(dag).tasks
    assert {name: one.errors for name, one in ended.items() if one.state != "success"} == {}
    assert received(world, expected) == expected


def test_what_another_task_pushed_is_data_in_a_rollouts_dict(world, new_dag, play):
    from airflow.providers.common.compat.sdk import task

    with new_dag() as dag:

        @task
        def made():
            return "\r\n{{ left alone }}"

        pushed = made()
        device = {"sim": "device-0001"}
        roll_out("pushed", {"a": [pushed, "{{ device.sim }}"], "n": 1}, targets=[device])
        pushed >> roll_out("pulled", {"a": "{{ ti.xcom_pull(task_ids='made') }}"}, targets=["device-0002"])
    assert dag.get_task("pushed").upstream_task_ids == {"made"}
    ended = play(dag).tasks
    assert {name: one.errors for name, one in ended.items() if one.state != "success"} == {}
    assert received(world, ["device-0001", "device-0002"]) == {
        "device-0001": '{"a":["\\r\\n{{ left alone }}","device-0001"],"n":1}',
        "device-0002": '{"a":"\\r\\n{{ left alone }}"}',
    }


def test_a_none_is_an_error_before_anything_is_sent(world, new_dag, play):
    with new_dag(params={"nothing": None}, default_args={"retries": 1}) as dag:
        send("one", "v={{ ti.xcom_pull(task_ids='none_such') }}", sim="device-0001")
        send("tree", {"v": "{{ params.nothing }}"}, sim="device-0001")
        rows = [{"sim": "device-0001", "name": "x"}, {"sim": "device-0002", "name": None}]
        roll_out("rows", "I am {{ device.name }}", targets=rows)
        send("file", "none-such.txt", sim="device-0001")
        roll_out("r_file", "none-such.json")
    ended = play(dag).tasks
    assert {name: (one.state, one.tries) for name, one in ended.items()} == dict.fromkeys(ended, ("failed", 1))
    said = {name: one.errors[0] for name, one in ended.items()}
    assert "xcom_pull" in said["one"]
    assert "params.nothing" in said["tree"]
    assert "row 2 (device-0002)" in said["rows"]
    assert "column 'name'" in said["rows"]
    assert "none-such.txt" in said["file"]
    assert "none-such.json" in said["r_file"]
    codes = {name: words.partition("\n")[0].rpartition(" ")[2] for name, words in said.items()}
    assert codes == dict.fromkeys(ended, "[bad-argument]") | {"rows": "[targets-invalid]"}
    assert world.commands() == []


def test_a_none_in_another_field_is_an_error_that_names_it_before_anything_is_sent(world, new_dag, play, tmp_path):
    nothing = "{{ ti.xcom_pull(task_ids='none_such') }}"
    with new_dag(default_args={"retries": 1}) as dag:
        send("sim", "x", sim=nothing)
        send("callback_url", "x", sim="device-0001", callback_url=f"https://example.com/{nothing}")
        roll_out("fleet", "x", targets=None, fleet=nothing)
        roll_out("targets_path", "x", targets=None, targets_path=f"{tmp_path}/{nothing}.csv")
        roll_out("report_path", "x", targets=["device-0001"], report_path=f"{tmp_path}/{nothing}.csv")
        roll_out("ledger_path", "x", targets=["device-0001"], ledger_path=f"{tmp_path}/{nothing}")
        roll_out("targets", "x", targets=["device-0001", {"sim": nothing}])
        roll_out("window", "x", targets=["device-0001"], window={"start": "01:00", "end": nothing})
        SuperSimIpCommandSensor(task_id="ip_command_sid", ip_command_sid=["HG" + 32 * "0", nothing])
    ended = play(dag).tasks
    assert {name: (one.state, one.tries) for name, one in ended.items()} == dict.fromkeys(ended, ("failed", 1))
    first = {name: one.errors[0].splitlines()[0] for name, one in ended.items()}
    assert {name: words.startswith(f"Nothing was sent: {name} ") for name, words in first.items()} == dict.fromkeys(
        ended, True
    )
    assert {words[words.rindex("[") :] for words in first.values()} == {"[bad-argument]"}
    assert world.commands() == []


def test_with_native_objects_a_none_is_no_part_of_a_text_and_may_be_a_whole_value(world, new_dag, play, tmp_path):
    nothing = "{{ ti.xcom_pull(task_ids='none_such') }}"
    with new_dag(render_template_as_native_obj=True, default_args={"retries": 1}) as dag:
        send("payload", "x{{ none }}", sim="device-0001")
        send("callback_url", "x", sim="device-0001", callback_url="https://example.com/{{ none }}")
        send("sim", "x", sim=f"{nothing}{nothing}")
        roll_out("targets_path", "x", targets=None, targets_path=f"{tmp_path}/{nothing}.csv")
        roll_out("report_path", "x", targets=["device-0001"], report_path=f"{tmp_path}/{nothing}.csv")
        roll_out("ledger_path", "x", targets=["device-0001"], ledger_path=f"{tmp_path}/{nothing}")
        roll_out("targets", "x", targets=["device-0001", {"sim": f"device-{nothing}"}])
        roll_out("window", "x", targets=["device-0001"], window={"start": "01:00", "end": f"{nothing}:00"})
        SuperSimIpCommandSensor(task_id="ip_command_sid", ip_command_sid=["HG" + 32 * "0", f"HG{nothing}"])
        send("whole", "x", sim="device-0002", callback_url=nothing, device_port="{{ 4000 + 1 }}")
    ended = play(dag).tasks
    whole = ended.pop("whole")
    assert {name: (one.state, one.tries) for name, one in ended.items()} == dict.fromkeys(ended, ("failed", 1))
    first = {name: one.errors[0].splitlines()[0] for name, one in ended.items()}
    assert {name: (name in words[:60], "gives None" in words) for name, words in first.items()} == dict.fromkeys(
        ended, (True, True)
    )
    assert {words[words.rindex("[") :] for words in first.values()} == {"[bad-argument]"}
    assert (whole.state, whole.xcom["return_value"]["device_port"]) == ("success", 4001)
    assert [one["sim_name"] for one in world.commands()] == ["device-0002"]
