"""Documents of runs, sent to yProv's services: ``yprov4wms push``.

One file per service behind `yprov4wms.push.service.Service`. The HTTP client is an extra
(``yprov4wms[push]``), and imported in `yprov4wms.push.http` alone.
"""
