# Every way to give Airflow the connection. The secrets are invented.

# [START twilio]
export AIRFLOW_CONN_SUPERSIM_DEFAULT='{"conn_type": "supersim", "login": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "password": "token"}'
# [END twilio]

# [START kore]
export AIRFLOW_CONN_SUPERSIM_DEFAULT='{"conn_type": "supersim", "login": "client-id", "password": "secret", "extra": {"vendor": "kore"}}'
# [END kore]

# [START uri]
export AIRFLOW_CONN_SUPERSIM_DEFAULT='supersim://ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:token@'
export AIRFLOW_CONN_SUPERSIM_DEFAULT='supersim://client-id:secret@/?vendor=kore&max_rate=50'
# [END uri]

# [START simulator]
export AIRFLOW_CONN_SUPERSIM_DEFAULT='supersim://ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:simulator@127.0.0.1:8025/http'
# [END simulator]

# [START cli]
airflow connections add supersim_default --conn-type supersim \
    --conn-login ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa --conn-password token
airflow connections add supersim_kore --conn-type supersim \
    --conn-login client-id --conn-password secret --conn-extra '{"vendor": "kore"}'
# [END cli]

# [START test]
AIRFLOW__CORE__TEST_CONNECTION=Enabled airflow connections test supersim_default
# [END test]
