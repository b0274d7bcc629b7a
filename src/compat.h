/*
 * compat.h
 *		What PostgreSQL 18 has and 15 does not.
 */
#ifndef BRAIN_COMPAT_H
#define BRAIN_COMPAT_H

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#endif							/* BRAIN_COMPAT_H */
