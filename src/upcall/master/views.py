"""What people see: the operator API's views, made from the state. Wall times are seconds since 1970."""

from upcall.master.node_views import NodeViews
from upcall.master.operation_views import OperationViews
from upcall.master.service_views import ServiceViews


class Views(ServiceViews, NodeViews, OperationViews):
    """All that there is to see."""
