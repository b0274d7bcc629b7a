/*
 * fiftyone.h
 *		What FiftyOne's environment variables and brain_config.json say.
 */
#ifndef BRAIN_FIFTYONE_H
#define BRAIN_FIFTYONE_H

#define DEFAULT_CONFIG_FILE "~/.fiftyone/brain_config.json"

/* brain.config_file; empty: none is read */
extern char *config_file;

/* A parameter of the milvus backend, as it was written; origin says where. */
typedef void (*ParameterReader) (const char *name, const char *value, const char *origin, void *arg);

extern bool IsFiftyOneParameter(const char *name);
extern void ReadEnvironment(ParameterReader read, void *arg);
extern void ReadConfigFile(ParameterReader read, void *arg);
extern char *FiftyOneBackend(char **origin);
extern char *Utf8ToServer(const char *text, const char *origin);
extern char *ServerToUtf8(const char *text, const char *what);

#endif							/* BRAIN_FIFTYONE_H */
