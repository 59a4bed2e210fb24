"""CloudFormation: the Aurora cluster that a stack makes is the local Aurora, as far as clients and their secret go.

The emulator describes a cluster, and takes Docker to have a database in it. DYNAURORA_AURORA names a file of JSON,
``{"host": ..., "port": ..., "username": ..., "password": ...}``: with one, a cluster's endpoint leads there. Where RDS
is to manage the administrator's password, the secret has what the file says, whatever MasterUsername is, and is
deleted with the cluster (Amazon Aurora User Guide, "Password management with Amazon Aurora and AWS Secrets Manager").
Every cluster is the same database; nothing of its capacity, its parameters or its networks is true of it.

As RDS does, it refuses a parameter or a value that `cluster_parameters` does not list, a parameter group of another
family than the engine's version, and the deletion of a cluster that is protected from it, by a stack too.

``AWS::EC2::SecurityGroupEgress``, which the emulator has not, adds a rule to a security group.
"""

import json
import os
import uuid
from pathlib import Path
from typing import Any

from ministack.services import ec2, rds, secretsmanager
from ministack.services.cloudformation import provisioners

from local.emulator.cluster_parameters import find_family_problem, find_parameter_problem
from local.emulator.replacements import Replacements
from local.emulator.values import read_bool

Properties = dict[str, Any]
Provisioned = tuple[str, Properties]


def install(emulator: Replacements) -> None:
    """Plan the replacements of this behaviour."""
    module, cluster = provisioners.__name__, "_RESOURCE_HANDLERS[AWS::RDS::DBCluster]"
    create = "(name, secret_string, description='')"
    emulator.require(secretsmanager.__name__, "create_secret_in_process", create)
    emulator.require(secretsmanager.__name__, "delete_secret_in_process", "(secret_id)")
    emulator.require(module, "_ec2_sg_permissions", "(rules)")
    modify = "_modify_db_cluster_param_group"
    emulator.require(rds.__name__, "_parameter_member_prefix", "(params, prefix='Parameters')")
    emulator.require(rds.__name__, "_error", "(code, message, status)")
    emulator.wrap(rds.__name__, modify, "(p)", _refuse_parameters)
    emulator.wrap(rds.__name__, "_ACTION_MAP[ModifyDBClusterParameterGroup]", "(p)", _refuse_parameters)
    emulator.wrap(module, f"{cluster}[create]", "(logical_id, props, stack_name)", _lead_to_aurora)
    update = "(physical_id, old_props, new_props, stack_name, logical_id=None)"
    emulator.wrap(module, f"{cluster}[update]", update, _keep_secret)
    emulator.wrap(module, f"{cluster}[delete]", "(physical_id, props)", _delete_secret)
    egress = {"create": _create_egress, "update": _update_egress, "delete": _delete_egress}
    emulator.add(module, "_RESOURCE_HANDLERS[AWS::EC2::SecurityGroupEgress]", egress)


def _lead_to_aurora(original: Any) -> Any:
    def create(logical_id: str, props: Properties, stack_name: str) -> Provisioned:
        _check_family(props)
        cluster_id, attributes = original(logical_id, props, stack_name)
        file = Path(os.environ.get("DYNAURORA_AURORA", ""))
        if not file.is_file():
            return cluster_id, attributes
        cluster, aurora = rds._clusters[cluster_id], json.loads(file.read_text())
        cluster |= {"Endpoint": aurora["host"], "Port": aurora["port"]}
        if read_bool(props.get("ManageMasterUserPassword"), False):
            text = json.dumps({name: aurora[name] for name in ("username", "password")})
            arn = secretsmanager.create_secret_in_process(f"rds!cluster-{uuid.uuid4()}", text)
            key = (props.get("MasterUserSecret") or {}).get("KmsKeyId", "")
            cluster["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active", "KmsKeyId": key}
        return cluster_id, attributes | _describe(cluster_id)

    return create


def _keep_secret(original: Any) -> Any:
    def update(*arguments: Any, **named: Any) -> Provisioned:
        cluster_id, attributes = original(*arguments, **named)
        return cluster_id, attributes | _describe(cluster_id)

    return update


def _delete_secret(original: Any) -> Any:
    def delete(physical_id: str, props: Properties) -> None:
        cluster = rds._clusters.get(physical_id) or {}
        if cluster.get("DeletionProtection"):
            raise ValueError(
                "Cannot delete protected Cluster, please disable deletion protection and try again. "
                "(Service: Rds, Status Code: 400)"
            )
        secret = cluster.get("MasterUserSecret")
        original(physical_id, props)
        if secret:
            secretsmanager.delete_secret_in_process(secret["SecretArn"])

    return delete


def _check_family(props: Properties) -> None:
    """Raise ValueError where the cluster's parameter group is of another family than its engine's version."""
    name = props.get("DBClusterParameterGroupName")
    if name and props.get("Engine") == "aurora-mysql":
        family = rds._db_cluster_param_groups[name]["DBParameterGroupFamily"]
        if problem := find_family_problem(props["EngineVersion"], name, family):
            raise ValueError(f"{problem} (Service: Rds, Status Code: 400, InvalidParameterCombination)")


def _refuse_parameters(original: Any) -> Any:
    def modify(p: Properties) -> Any:
        prefix, number = rds._parameter_member_prefix(p), 1
        group = rds._db_cluster_param_groups.get(rds._p(p, "DBClusterParameterGroupName")) or {}
        is_ours = str(group.get("DBParameterGroupFamily")).startswith("aurora-mysql")
        while is_ours and (name := rds._p(p, f"{prefix}.{number}.ParameterName")):
            if problem := find_parameter_problem(name, str(rds._p(p, f"{prefix}.{number}.ParameterValue"))):
                return rds._error("InvalidParameterValue", problem, 400)
            number += 1
        return original(p)

    return modify


def _describe(cluster_id: str) -> Properties:
    cluster = rds._clusters[cluster_id]
    described = {"Endpoint.Address": cluster["Endpoint"], "Endpoint.Port": str(cluster["Port"])}
    secret = cluster.get("MasterUserSecret")
    return described | ({"MasterUserSecret.SecretArn": secret["SecretArn"]} if secret else {})


def _create_egress(_logical_id: str, props: Properties, _stack_name: str) -> Provisioned:
    rule_id = f"sgr-{uuid.uuid4().hex[:17]}"
    ec2._security_groups[props["GroupId"]]["IpPermissionsEgress"] += provisioners._ec2_sg_permissions([props])
    return rule_id, {"Id": rule_id}


def _update_egress(physical_id: str, old_props: Properties, props: Properties, _stack_name: str) -> Provisioned:
    _delete_egress(physical_id, old_props)
    return _create_egress("", props, "")


def _delete_egress(_physical_id: str, props: Properties) -> None:
    group = ec2._security_groups.get(props["GroupId"])
    (rule,) = provisioners._ec2_sg_permissions([props])
    if group is not None and rule in group["IpPermissionsEgress"]:
        group["IpPermissionsEgress"].remove(rule)
