# The same commands without the pipeline, as a team with nothing but make would write them.
# benchmarks/plain.py passes the variables in the environment:
#   REPOSITORY REVISION IMAGE REGISTRY ADVISORIES SETTINGS PYTHON KANVARO_CHECKOUT
#   MARK MONGODB_IMAGE MONGODB_HEALTH REDIS_IMAGE REDIS_HEALTH
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:

AWS := $(PYTHON) $(KANVARO_CHECKOUT)/benchmarks/plain_aws.py
# The longest check first, the short ones beside it: the order in which the flow starts them.
CHECKS := e2e format security lint types unit integration coverage

healthy: deployed
	address=$$(cat deployed)
	good=0
	for attempt in $$(seq 300); do
	  if curl --silent --fail --max-time 5 $$address/api/health | grep --quiet $(REVISION); then
	    good=$$((good + 1))
	  else
	    good=0
	  fi
	  [ $$good -lt 5 ] || exit 0
	  sleep 0.2
	done
	exit 1

deployed: pushed
	$(AWS) deploy $(SETTINGS) $$(cat pushed) > $@

pushed: built
	$(AWS) login $(SETTINGS) | docker login --username AWS --password-stdin $(REGISTRY)
	docker push --quiet $(IMAGE):$(REVISION)
	docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' $(IMAGE):$(REVISION) \
	  | grep --max-count 1 '^$(IMAGE)@' > $@

built: $(CHECKS)
	docker build --build-arg REVISION=$(REVISION) --tag $(IMAGE):$(REVISION) source
	touch $@

source:
	git clone --quiet $(REPOSITORY) source
	git -C source checkout --quiet --detach $(REVISION)

installed: source
	cd source && npm ci
	touch ../$@

.PHONY: healthy $(CHECKS)
$(CHECKS): installed

lint:
	cd source && npm run lint
format:
	cd source && npm run format:check
types:
	cd source && npm run type-check
unit:
	cd source && npm run test:unit
security:
	cd source
	npm_config_cache=$$(mktemp -d) npm audit --audit-level moderate --registry $(ADVISORIES)
	git ls-files -z > ../tracked
	$(PYTHON) -I $(KANVARO_CHECKOUT)/tasks/checks/secret_finder.py ../tracked | grep '"found": \[\]'

# As in the flow, each check has databases of its own, since two checks run at once.
integration coverage e2e:
	start() { docker run --detach --label kanvaro.bench=$(MARK) --publish 127.0.0.1::$$2 $$1; }
	await() {
	  for attempt in $$(seq 600); do
	    ! docker exec "$$@" > /dev/null 2>&1 || return 0
	    sleep 0.2
	  done
	  return 1
	}
	mongodb=$$(start $(MONGODB_IMAGE) 27017)
	trap 'docker rm --force --volumes $$mongodb > /dev/null' EXIT
	redis=$$(start $(REDIS_IMAGE) 6379)
	trap 'docker rm --force --volumes $$mongodb $$redis > /dev/null' EXIT
	await $$mongodb $(MONGODB_HEALTH)
	await $$redis $(REDIS_HEALTH)
	export MONGODB_URI=mongodb://$$(docker port $$mongodb 27017)/kanvaro
	export REDIS_URL=redis://$$(docker port $$redis 6379)
	cd source && npm run test:$@
