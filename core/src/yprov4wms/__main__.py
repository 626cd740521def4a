"""``python -m yprov4wms``."""

from yprov4wms.cli import main

main()
