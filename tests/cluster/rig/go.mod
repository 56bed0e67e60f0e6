module kakehi.test/cluster/rig

go 1.26.0
