# Install, start the simulator, send a command, see it.

# [START install]
pip install 'airflow-provider-supersim[simulator]'
# [END install]

# [START simulator]
supersim-simulator --port 8025
# [END simulator]

# [START send]
export AIRFLOW_CONN_SUPERSIM_DEFAULT='supersim://ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:simulator@127.0.0.1:8025/http'
airflow dags test first_command
# [END send]

# [START received]
curl -s 'http://127.0.0.1:8025/_simulator/datagrams?sim=device-0001'
# [END received]
