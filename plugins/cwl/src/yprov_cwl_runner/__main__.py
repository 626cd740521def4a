from yprov_cwl_runner.command import main

main()
