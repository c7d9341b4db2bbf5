"""Every name of Flower that is not public, in one place: Flower is pinned to 1.41, and an upgrade is tried here first.

Public are `flwr.app`, `flwr.clientapp` and `flwr.serverapp`; the rest may move or go with any release, and a rule of
the linter refuses it elsewhere. A name is looked up when it is first asked for: the command line, the SuperNode and
the simulation engine load much, and who needs an error code shall not wait for them.
"""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flwr.cli.build import build_fab_from_disk as build_fab_from_disk
    from flwr.common.args import add_args_flwr_app_common as add_args_flwr_app_common
    from flwr.common.args import try_obtain_flwr_app_token as try_obtain_flwr_app_token
    from flwr.common.constant import HEARTBEAT_PATIENCE as HEARTBEAT_PATIENCE
    from flwr.common.constant import SUPERLINK_NODE_ID as SUPERLINK_NODE_ID
    from flwr.common.constant import ErrorCode as ErrorCode
    from flwr.common.serde import user_config_to_proto as user_config_to_proto
    from flwr.proto import run_pb2 as run_pb2
    from flwr.proto.control_pb2 import ListNodesRequest as ListNodesRequest
    from flwr.proto.control_pb2 import ListRunsRequest as ListRunsRequest
    from flwr.proto.control_pb2 import RegisterNodeRequest as RegisterNodeRequest
    from flwr.proto.control_pb2 import StartRunRequest as StartRunRequest
    from flwr.proto.control_pb2 import StopRunRequest as StopRunRequest
    from flwr.proto.control_pb2 import StreamLogsRequest as StreamLogsRequest
    from flwr.proto.control_pb2 import UnregisterNodeRequest as UnregisterNodeRequest
    from flwr.proto.fab_pb2 import Fab as Fab
    from flwr.proto.fleet_pb2 import ActivateNodeRequest as ActivateNodeRequest
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest as DeactivateNodeRequest
    from flwr.proto.node_pb2 import Node as Node
    from flwr.proto.node_pb2 import NodeInfo as NodeInfo
    from flwr.proto.run_pb2 import GetRunRequest as GetRunRequest
    from flwr.server.superlink.linkstate import SqlLinkState as SqlLinkState
    from flwr.simulation import run_simulation as run_simulation
    from flwr.supercore import telemetry as telemetry
    from flwr.supercore.cli import flower_superexec as flower_superexec
    from flwr.supercore.constant import TASK_TYPE_TO_COMMAND as TASK_TYPE_TO_COMMAND
    from flwr.supercore.constant import (
        VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY as VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY,
    )
    from flwr.supercore.constant import TaskType as TaskType
    from flwr.supercore.control import ControlHttpClient as ControlHttpClient
    from flwr.supercore.error import ApiErrorCode as ApiErrorCode
    from flwr.supercore.error import FlowerError as FlowerError
    from flwr.supercore.exit import add_exit_handler as add_exit_handler
    from flwr.supercore.interceptors.http.utils import add_headers as add_headers
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes as public_key_to_bytes
    from flwr.supercore.protobuf.client import ProtobufCall as ProtobufCall
    from flwr.supercore.protobuf.client import ProtobufClient as ProtobufClient
    from flwr.supercore.protobuf.client import ProtobufRequestContext as ProtobufRequestContext
    from flwr.supercore.run import Run as Run
    from flwr.supercore.runtime import RuntimeHttpClient as RuntimeHttpClient
    from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata as RuntimeVersionMetadata
    from flwr.supercore.state.schema.corestate_models import Task as Task
    from flwr.supercore.superexec.executor.subprocess_executor import SubprocessExecutor as SubprocessExecutor
    from flwr.supercore.task_identity import TaskIdentity as TaskIdentity
    from flwr.supercore.tls import validate_and_resolve_root_certificates as validate_and_resolve_root_certificates
    from flwr.superlink.cli import flower_superlink as flower_superlink
    from flwr.superlink.cli import flwr_serverapp as flwr_serverapp
    from flwr.superlink.runtime import run_serverapp as run_serverapp
    from flwr.supernode import start_client_internal as start_client_internal
    from flwr.supernode.cli import flower_supernode as flower_supernode
    from flwr.supernode.fleet_http_client import FleetHttpClient as FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor as NodeAuthHttpInterceptor
    from flwr.supernode.nodestate import InMemoryNodeState as InMemoryNodeState
    from flwr.supernode.runtime import run_clientapp as run_clientapp

WHERE: Mapping[str, str] = {
    "ActivateNodeRequest": "flwr.proto.fleet_pb2:ActivateNodeRequest",
    "ApiErrorCode": "flwr.supercore.error:ApiErrorCode",
    "ControlHttpClient": "flwr.supercore.control:ControlHttpClient",
    "DeactivateNodeRequest": "flwr.proto.fleet_pb2:DeactivateNodeRequest",
    "ErrorCode": "flwr.common.constant:ErrorCode",
    "Fab": "flwr.proto.fab_pb2:Fab",
    "FleetHttpClient": "flwr.supernode.fleet_http_client:FleetHttpClient",
    "FlowerError": "flwr.supercore.error:FlowerError",
    "GetRunRequest": "flwr.proto.run_pb2:GetRunRequest",
    "HEARTBEAT_PATIENCE": "flwr.common.constant:HEARTBEAT_PATIENCE",
    "InMemoryNodeState": "flwr.supernode.nodestate:InMemoryNodeState",
    "ListNodesRequest": "flwr.proto.control_pb2:ListNodesRequest",
    "ListRunsRequest": "flwr.proto.control_pb2:ListRunsRequest",
    "Node": "flwr.proto.node_pb2:Node",
    "NodeAuthHttpInterceptor": "flwr.supernode.node_auth_http_interceptor:NodeAuthHttpInterceptor",
    "NodeInfo": "flwr.proto.node_pb2:NodeInfo",
    "ProtobufCall": "flwr.supercore.protobuf.client:ProtobufCall",
    "ProtobufClient": "flwr.supercore.protobuf.client:ProtobufClient",
    "ProtobufRequestContext": "flwr.supercore.protobuf.client:ProtobufRequestContext",
    "RegisterNodeRequest": "flwr.proto.control_pb2:RegisterNodeRequest",
    "Run": "flwr.supercore.run:Run",
    "RuntimeHttpClient": "flwr.supercore.runtime:RuntimeHttpClient",
    "RuntimeVersionMetadata": "flwr.supercore.runtime_version_compatibility:RuntimeVersionMetadata",
    "SUPERLINK_NODE_ID": "flwr.common.constant:SUPERLINK_NODE_ID",
    "SqlLinkState": "flwr.server.superlink.linkstate:SqlLinkState",
    "StartRunRequest": "flwr.proto.control_pb2:StartRunRequest",
    "StopRunRequest": "flwr.proto.control_pb2:StopRunRequest",
    "StreamLogsRequest": "flwr.proto.control_pb2:StreamLogsRequest",
    "SubprocessExecutor": "flwr.supercore.superexec.executor.subprocess_executor:SubprocessExecutor",
    "TASK_TYPE_TO_COMMAND": "flwr.supercore.constant:TASK_TYPE_TO_COMMAND",
    "Task": "flwr.supercore.state.schema.corestate_models:Task",
    "TaskIdentity": "flwr.supercore.task_identity:TaskIdentity",
    "TaskType": "flwr.supercore.constant:TaskType",
    "UnregisterNodeRequest": "flwr.proto.control_pb2:UnregisterNodeRequest",
    "VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY": (
        "flwr.supercore.constant:VERSION_INCOMPATIBILITY_MESSAGE_METADATA_KEY"
    ),
    "add_args_flwr_app_common": "flwr.common.args:add_args_flwr_app_common",
    "add_exit_handler": "flwr.supercore.exit:add_exit_handler",
    "add_headers": "flwr.supercore.interceptors.http.utils:add_headers",
    "build_fab_from_disk": "flwr.cli.build:build_fab_from_disk",
    "flower_superexec": "flwr.supercore.cli:flower_superexec",
    "flower_superlink": "flwr.superlink.cli:flower_superlink",
    "flower_supernode": "flwr.supernode.cli:flower_supernode",
    "flwr_serverapp": "flwr.superlink.cli:flwr_serverapp",
    "public_key_to_bytes": "flwr.supercore.primitives.asymmetric:public_key_to_bytes",
    "run_clientapp": "flwr.supernode.runtime.run_clientapp",
    "run_pb2": "flwr.proto.run_pb2",
    "run_serverapp": "flwr.superlink.runtime:run_serverapp",
    "run_simulation": "flwr.simulation:run_simulation",
    "start_client_internal": "flwr.supernode.start_client_internal",
    "telemetry": "flwr.supercore.telemetry",
    "try_obtain_flwr_app_token": "flwr.common.args:try_obtain_flwr_app_token",
    "user_config_to_proto": "flwr.common.serde:user_config_to_proto",
    "validate_and_resolve_root_certificates": "flwr.supercore.tls:validate_and_resolve_root_certificates",
}
"""Where Flower 1.41 keeps what we use; a module, or a name after the colon."""


def __getattr__(name: str) -> Any:
    """A name of the table, from Flower."""
    if name not in WHERE:
        raise AttributeError(f"{name!r} is not among the names of Flower that are used here; add a row to WHERE")
    found = globals()[name] = resolve_name(WHERE[name])
    return found
