package storage_test

const envVictim = "PULP_STORAGE_VICTIM"
const envNobody = "PULP_STORAGE_NOBODY"

func victim(string) int { return 0 }
func nobody(string) int { return 0 }
