// Package mappingtest makes policies of any size, with attempts that they grant, for tests and benchmarks.
package mappingtest
