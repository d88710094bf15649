"""Airflow masks what could sign somebody in: in the task's log, in a traceback and among the rendered fields."""

import base64
import json
import re

from airflow.providers.common.compat.sdk import redact

from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator

CALLBACK = "https://user:c4llb%40ck-word@example.com/sent"


class Blabbing(SuperSimIpCommandOperator):
    """Sends, and says and raises then what nobody must know."""

    def execute(self, context):
        super().execute(context)
        hook = SuperSimHook(self.supersim_conn_id)
        header = hook.run(lambda client: client._auth.header(client._transport.send))
        hook.close()
        words = f"{header} {self.callback_url} c4llb@ck-word"
        self.log.info("blabbed: %s :blabbed", words)
        raise ValueError(f"blabbed: {words} :blabbed")


def test_a_log_line_a_traceback_and_a_rendered_field_show_no_secret(world, new_dag, play):
    with new_dag() as dag:
        for vendor, connection in {"twilio": "supersim_default", "kore": "kore"}.items():
            Blabbing(
                task_id=vendor,
                sim="device-0001",
                payload="x",
                device_port=4000,
                callback_url=CALLBACK,
                supersim_conn_id=connection,
                poll_interval=0.1,
            )

    played = play(dag)

    basic = world.connection("twilio")
    secret = base64.b64encode(f"{basic['login']}:{basic['password']}".encode()).decode()
    lines = [redact(line) for line in played.lines("blabbed:")]  # as a supervisor does; dag.test() has none
    # What other tests have let this process mask, such as a password of one letter, is masked here too.
    for scheme in ("Basic", "Bearer"):
        masked = re.compile(rf"blabbed: {scheme} \*\*\* \S+:\*\*\*@\S+ \*\*\* :blabbed")
        said = [line for line in lines if scheme in line]
        assert len(said) >= 2  # the line and the traceback
        assert [line for line in said if not masked.search(line)] == []
    shown = {name: task.rendered["callback_url"] for name, task in played.tasks.items()}
    assert {name: bool(re.fullmatch(r"\S+:\*\*\*@\S+", url)) for name, url in shown.items()} == {
        "twilio": True,
        "kore": True,
    }
    assert secret not in json.dumps([task.xcom for task in played.tasks.values()], default=str)
