#include "postgres.h"
#include "exact/scan.h"
int
PrefixLimit(int64 n, int dim)
{
	(void) n; (void) dim;
	return 0;
}
void
FindRotation(Metric metric, const float *sample, int64 n, int dim,
						 float *rotation, int *m, float *error)
{
	(void) metric; (void) sample; (void) n; (void) dim; (void) rotation; (void) error;
	*m = 0;
}
