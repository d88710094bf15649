# Using the simulator from its command line and through its control plane.

# [START run]
supersim-simulator --port 8025 --sims 200 --offline 3
# [END run]

# [START look]
curl -s http://127.0.0.1:8025/_simulator/summary
curl -s 'http://127.0.0.1:8025/_simulator/datagrams?sim=device-0001'
curl -s http://127.0.0.1:8025/_simulator/requests
# [END look]

# [START device]
curl -s -X PATCH http://127.0.0.1:8025/_simulator/devices/device-0007 -H content-type:application/json -d '{"network": "offline"}'
# [END device]

# [START faults]
curl -s -X PUT http://127.0.0.1:8025/_simulator/faults -H content-type:application/json -d '[{"kind": "drop_after", "ratio": 0.05, "method": "POST"}]'
# [END faults]

# [START clock]
curl -s -X POST http://127.0.0.1:8025/_simulator/clock -H content-type:application/json -d '{"stop": true, "set": "2026-01-01T03:00:00Z"}'
curl -s -X POST http://127.0.0.1:8025/_simulator/clock -H content-type:application/json -d '{"advance": 60}'
curl -s -X POST http://127.0.0.1:8025/_simulator/clock -H content-type:application/json -d '{"run": true}'
# [END clock]

# [START reset]
curl -s -X POST http://127.0.0.1:8025/_simulator/reset -H content-type:application/json -d '{"sims": 1000, "settle": 0.2}'
# [END reset]
