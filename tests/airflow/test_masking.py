"""Airflow masks what could sign somebody in: in the task's log, in a traceback and among the rendered fields."""

import base64
import json

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
    for scheme in ("Basic", "Bearer"):
        masked = f"blabbed: {scheme} *** https://user:***@example.com/sent *** :blabbed"
        assert [masked in line for line in lines if scheme in line].count(True) >= 2, lines  # line and traceback
        assert [line for line in lines if scheme in line and masked not in line] == []
    shown = {name: task.rendered["callback_url"] for name, task in played.tasks.items()}
    assert shown == dict.fromkeys(("twilio", "kore"), "https://user:***@example.com/sent")
    assert secret not in json.dumps([task.xcom for task in played.tasks.values()], default=str)
