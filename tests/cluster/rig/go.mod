module example.com/kakehi/tests/cluster/rig

go 1.26.0
