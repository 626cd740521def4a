from yprov_toil_cwl_runner.command import main

main()
