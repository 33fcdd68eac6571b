-- The five services as Deployments: deploy/k8s/services.yaml, written by deploy/write.lua.
local HEAD = [[
# Written by `make deploy` from deploy/k8s.lua. The five services beside servers of your own; where those are
# is said by the ConfigMap `rlab-servers` and the Secret `rlab-mysql` (deploy/k8s/README.md).
]]

local ONE = [[
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: rlab-$name
  labels: { app.kubernetes.io/part-of: rlab, app.kubernetes.io/name: $name }
spec:
  replicas: 1
  selector:
    matchLabels: { app.kubernetes.io/part-of: rlab, app.kubernetes.io/name: $name }
  template:
    metadata:
      labels: { app.kubernetes.io/part-of: rlab, app.kubernetes.io/name: $name }
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: $name
          image: rlab/rlab:local
          args: [service, $name]
          envFrom:
            - configMapRef: { name: rlab-servers }
          env:
            - name: RLAB_MYSQL
              valueFrom: { secretKeyRef: { name: rlab-mysql, key: url } }
            - { name: RLAB_HOST, value: "0.0.0.0" }
            - { name: RLAB_PORT, value: "$port" }
            - { name: RLAB_HOSTS, value: rlab-$name }
$env          ports:
            - { name: http, containerPort: $port }
          startupProbe:
            httpGet:
              path: /actuator/health/liveness
              port: http
              httpHeaders: [{ name: Host, value: localhost }]
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /actuator/health/liveness
              port: http
              httpHeaders: [{ name: Host, value: localhost }]
            periodSeconds: 10
            timeoutSeconds: 5
          readinessProbe:
            httpGet:
              path: /actuator/health/readiness
              port: http
              httpHeaders: [{ name: Host, value: localhost }]
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            requests: { cpu: 250m, memory: 128Mi }
            limits: { memory: 256Mi }
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
---
apiVersion: v1
kind: Service
metadata:
  name: rlab-$name
  labels: { app.kubernetes.io/part-of: rlab, app.kubernetes.io/name: $name }
spec:
  selector: { app.kubernetes.io/part-of: rlab, app.kubernetes.io/name: $name }
  ports:
    - { name: http, port: $port, targetPort: http }
]]

local TOPIC = { { "RLAB_TOPIC", "orders" } }
local DLQ = { { "RLAB_TOPIC", "orders" }, { "RLAB_DLQ", "orders.dlq" } }
local SERVICES = { { "command", TOPIC }, { "relay", TOPIC }, { "consumer", DLQ }, { "query", {} },
  { "replay", DLQ } }

-- f(ports) -> the text; ports: rows {name, ..., port}, as settings.ports
return function(ports)
  local parts, port_of = { HEAD }, {}
  for _, row in ipairs(ports) do port_of[row[1]] = row[3] end
  for _, one in ipairs(SERVICES) do
    local env = {}
    for i, pair in ipairs(one[2]) do
      env[i] = ("            - { name: %s, value: %s }\n"):format(pair[1], pair[2])
    end
    parts[#parts + 1] = ONE:gsub("%$(%a+)", { name = one[1], port = tostring(port_of[one[1]]),
      env = table.concat(env) })
  end
  return table.concat(parts)
end
