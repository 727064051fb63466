package rest

import (
	"reflect"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/pulpgo/pulpcore/models"
)

// schemas are the named schemas of the API document.
type schemas openapi3.Schemas

// schemaKind names the few schemas that computed members have.
type schemaKind uint8

const (
	stringSchema schemaKind = iota + 1
	nullStringSchema
	uriSchema
	nullURISchema
	uriListSchema
	timeSchema
	nullTimeSchema
	intSchema
	nullIntSchema
	boolSchema
	mapSchema
	hiddenSchema
	anySchema
	stringListSchema
	binarySchema
)

func int64Type() reflect.Type { return reflect.TypeFor[int64]() }

func (k schemaKind) schema() *openapi3.Schema {
	switch k {
	case nullStringSchema:
		return openapi3.NewStringSchema().WithNullable()
	case uriSchema:
		return openapi3.NewStringSchema().WithFormat("uri")
	case nullURISchema:
		return openapi3.NewStringSchema().WithFormat("uri").WithNullable()
	case uriListSchema:
		return openapi3.NewArraySchema().WithItems(uriSchema.schema())
	case timeSchema:
		return openapi3.NewDateTimeSchema()
	case nullTimeSchema:
		return openapi3.NewDateTimeSchema().WithNullable()
	case intSchema:
		return openapi3.NewInt64Schema()
	case nullIntSchema:
		return openapi3.NewInt64Schema().WithNullable()
	case boolSchema:
		return openapi3.NewBoolSchema()
	case mapSchema:
		return openapi3.NewObjectSchema().WithAnyAdditionalProperties()
	case hiddenSchema:
		item := openapi3.NewObjectSchema().WithProperty("name", openapi3.NewStringSchema()).
			WithProperty("is_set", openapi3.NewBoolSchema()).WithRequired([]string{"name", "is_set"})
		return openapi3.NewArraySchema().WithItems(item)
	case anySchema:
		return &openapi3.Schema{Nullable: true}
	case stringListSchema:
		return openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	case binarySchema:
		return openapi3.NewStringSchema().WithFormat("binary")
	default:
		return openapi3.NewStringSchema()
	}
}

// schema describes a field as requests may give it.
func (f *field) schema() *openapi3.Schema {
	s := f.baseSchema()
	s.Description, s.Nullable = f.doc, f.nullable
	if f.min != nil {
		s.Min = f.min
	}
	if f.form == textForm {
		s.MinLength = 1
		if f.maxLen > 0 {
			s.MaxLength = new(uint64(f.maxLen))
		}
		if f.length > 0 {
			s.MinLength, s.MaxLength = uint64(f.length), new(uint64(f.length))
		}
		for _, choice := range f.choices {
			s.Enum = append(s.Enum, choice)
		}
	}
	switch d := f.def.(type) {
	case nil:
	case *bool:
		s.Default = *d
	case models.Policy:
		s.Default = string(d)
	default:
		s.Default = d
	}
	return s
}

func (f *field) baseSchema() *openapi3.Schema {
	switch f.form {
	case boolForm:
		return openapi3.NewBoolSchema()
	case intForm:
		return openapi3.NewInt64Schema()
	case floatForm:
		return openapi3.NewFloat64Schema().WithFormat("double")
	case labelsForm:
		value := openapi3.NewStringSchema().WithNullable()
		return openapi3.NewObjectSchema().WithAdditionalProperties(value)
	case timeForm:
		return openapi3.NewDateTimeSchema()
	case refForm:
		return uriSchema.schema()
	case secretForm:
		s := openapi3.NewStringSchema()
		s.WriteOnly = true
		return s
	case listForm:
		return openapi3.NewArraySchema().WithItems(listItem(f.goType))
	case jsonForm:
		return openapi3.NewObjectSchema().WithAnyAdditionalProperties()
	default:
		return openapi3.NewStringSchema()
	}
}

func listItem(t reflect.Type) *openapi3.Schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch elem := t.Elem(); elem.Kind() {
	case reflect.String:
		return openapi3.NewStringSchema()
	case reflect.Bool:
		return openapi3.NewBoolSchema()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return openapi3.NewInt64Schema()
	default:
		if elem == reflect.TypeFor[time.Time]() {
			return openapi3.NewDateTimeSchema()
		}
		return openapi3.NewObjectSchema().WithAnyAdditionalProperties()
	}
}

// addRequest adds the schema of a body, and with patched the one of a PATCH, which requires nothing.
func (s schemas) addRequest(model string, fields []*field, file, patched bool) {
	request := openapi3.NewObjectSchema()
	patch := openapi3.NewObjectSchema()
	for _, f := range fields {
		request.WithProperty(f.name, f.schema())
		patch.WithProperty(f.name, f.schema())
		if f.required {
			request.Required = append(request.Required, f.name)
		}
	}
	if file {
		request.WithProperty("file", binarySchema.schema())
	}
	s[model] = openapi3.NewSchemaRef("", request)
	if patched {
		s["Patched"+model] = openapi3.NewSchemaRef("", patch)
	}
}

// object adds a schema of computed members only, all read-only.
func (s schemas) object(model string, members ...extra) {
	o := openapi3.NewObjectSchema()
	for _, m := range members {
		p := m.schema.schema()
		p.Description, p.ReadOnly = m.doc, true
		o.WithProperty(m.name, p)
	}
	s[model] = openapi3.NewSchemaRef("", o)
}

func commonExtras() []extra {
	return []extra{
		{"pulp_href", uriSchema, "Where the resource is."},
		{"prn", stringSchema, "The Pulp Resource Name."},
		{"pulp_created", timeSchema, "When it was created."},
		{"pulp_last_updated", timeSchema, "When it was changed last."},
	}
}

// addResponse adds the schema of answers about rows.
func (s schemas) addResponse(sh *shape) {
	s.object(sh.model+"Response", append(commonExtras(), sh.extras()...)...)
	o := s[sh.model+"Response"].Value
	for _, f := range sh.fields {
		if f.form == secretForm {
			continue
		}
		p := f.schema()
		p.Default, p.ReadOnly = nil, f.readOnly
		p.MinLength, p.MaxLength = 0, nil
		if f.form == refForm {
			p.Nullable = true // a view of the other end may be missing
		}
		o.WithProperty(f.name, p)
		if f.required {
			o.Required = append(o.Required, f.name)
		}
	}
}

func (s schemas) addView(v *view) {
	s.addResponse(v.shape)
	switch {
	case v.create != nil:
		s.addRequest(v.model, v.create.fields, v.create.files, !v.isContent() && !v.isPublication())
	case !v.isContent() && !v.isPublication():
		s.addRequest(v.model, v.shape.input(), false, true)
	}
}

// addAction adds the schemas of an action's body and answer.
func (s schemas) addAction(act *action) {
	if act.input != nil {
		s.addRequest(act.input.model, act.input.fields, false, false)
	}
	if act.async || act.outType == nil || act.outType.Kind() != reflect.Struct {
		return
	}
	o := openapi3.NewObjectSchema()
	for i := range act.outType.NumField() {
		sf := act.outType.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if name == "-" || !sf.IsExported() {
			continue
		}
		if name == "" {
			name = sf.Name
		}
		f := &field{name: name, doc: sf.Tag.Get("doc"), goType: sf.Type}
		if f.setForm(); f.form == refForm {
			f.form = textForm // as encoding/json writes it
		}
		p := f.schema()
		p.MinLength = 0
		o.WithProperty(name, p)
	}
	s[act.answer] = openapi3.NewSchemaRef("", o)
}

// addCore adds the schemas that belong to no type.
func (s schemas) addCore() {
	s.object("AsyncOperationResponse", extra{"task", uriSchema, "The task."})
	s["AsyncOperationResponse"].Value.Required = []string{"task"}
	s["ErrorResponse"] = openapi3.NewSchemaRef("", errorSchema())
	label := []*field{
		{name: "key", form: textForm, required: true, doc: "The label's key."},
		{name: "value", form: textForm, required: true, nullable: true, doc: "The label's value."},
	}
	s.addRequest("SetLabel", label, false, false)
	s.addRequest("SetLabelResponse", label, false, false)
	s.addRequest("UnsetLabel", label[:1], false, false)
	s.addRequest("UnsetLabelResponse", label, false, false)
	for _, name := range []string{"SetLabel", "SetLabelResponse", "UnsetLabelResponse"} {
		s[name].Value.Properties["value"].Value.MinLength = 0
	}
	s.addRequest("PatchedTaskCancel", []*field{{name: "state", form: textForm, doc: "canceled"}}, false, false)
	s.addRequest("RepositoryAddRemoveContent", []*field{
		{
			name: "add_content_units", form: listForm, goType: reflect.TypeFor[[]string](),
			doc: "hrefs or PRNs of units to add.",
		},
		{
			name: "remove_content_units", form: listForm, goType: reflect.TypeFor[[]string](),
			doc: "hrefs or PRNs of units to remove, or '*' for all.",
		},
		{name: "base_version", form: refForm, nullable: true, doc: "The version to start from instead of the latest."},
	}, false, false)
	s.object("RepositoryVersionResponse", append(commonExtras(),
		extra{"number", intSchema, ""}, extra{"repository", uriSchema, ""}, extra{"base_version", nullURISchema, ""},
		extra{"content_summary", mapSchema, "How many units were added, removed and are present, by type."})...)
	s.addRequest("Artifact", artifactFields(), true, false)
	s["Artifact"].Value.Required = []string{"file"}
	artifact := append(commonExtras(), extra{"file", stringSchema, "The key in the storage."},
		extra{"size", intSchema, ""})
	for _, alg := range digestOrder() {
		artifact = append(artifact, extra{string(alg), nullStringSchema, ""})
	}
	s.object("ArtifactResponse", artifact...)
	s.addTaskSchemas()
	s.addStatusSchemas()
}

// errorSchema describes the three forms of errors: a sentence, a list of sentences, or such lists by the field that is
// wrong. The fault of a field may be an object of sentences, too.
func errorSchema() *openapi3.Schema {
	sentence := openapi3.NewObjectSchema().WithProperty("detail", openapi3.NewStringSchema()).
		WithRequired([]string{"detail"}).WithoutAdditionalProperties()
	list := openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema())
	nested := openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewStringSchema())
	byField := openapi3.NewObjectSchema().WithAdditionalProperties(openapi3.NewOneOfSchema(list, nested))
	return openapi3.NewOneOfSchema(sentence, list, byField)
}

func (s schemas) addTaskSchemas() {
	minimal := append(commonExtras(),
		extra{"name", stringSchema, ""}, extra{"state", stringSchema, ""}, extra{"pulp_api_version", stringSchema, ""},
		extra{"unblocked_at", nullTimeSchema, ""}, extra{"started_at", nullTimeSchema, ""},
		extra{"finished_at", nullTimeSchema, ""}, extra{"worker", nullURISchema, ""})
	s.object("MinimalTaskResponse", minimal...)
	s.object("ProgressReportResponse", extra{"message", stringSchema, ""}, extra{"code", stringSchema, ""},
		extra{"state", stringSchema, ""}, extra{"total", nullIntSchema, ""}, extra{"done", intSchema, ""},
		extra{"suffix", nullStringSchema, ""})
	s.object("GroupProgressReportResponse", extra{"message", stringSchema, ""}, extra{"code", stringSchema, ""},
		extra{"total", intSchema, ""}, extra{"done", intSchema, ""}, extra{"suffix", nullStringSchema, ""})
	task := append(minimal,
		extra{"logging_cid", stringSchema, ""}, extra{"created_by", nullURISchema, ""}, extra{"error", anySchema, ""},
		extra{"parent_task", nullURISchema, ""}, extra{"child_tasks", uriListSchema, ""},
		extra{"task_group", nullURISchema, ""}, extra{"created_resource_prns", stringListSchema, ""},
		extra{"reserved_resources_record", stringListSchema, ""}, extra{"result", anySchema, ""})
	s.object("TaskResponse", task...)
	s["TaskResponse"].Value.WithPropertyRef("progress_reports", s.arrayOf("ProgressReportResponse"))
	created := openapi3.NewArraySchema().WithItems(nullURISchema.schema())
	s["TaskResponse"].Value.WithProperty("created_resources", created)
	group := []extra{
		{"pulp_href", uriSchema, ""},
		{"prn", stringSchema, ""},
		{"description", stringSchema, ""},
		{"all_tasks_dispatched", boolSchema, ""},
	}
	for _, state := range groupStates() {
		group = append(group, extra{string(state), intSchema, "How many tasks are in this state."})
	}
	s.object("TaskGroupResponse", group...)
	s["TaskGroupResponse"].Value.
		WithPropertyRef("group_progress_reports", s.arrayOf("GroupProgressReportResponse")).
		WithPropertyRef("tasks", s.arrayOf("MinimalTaskResponse"))
	s.object("TaskScheduleResponse", append(commonExtras(), extra{"name", stringSchema, ""},
		extra{"task_name", stringSchema, "The name of the task that is dispatched."},
		extra{"dispatch_interval", nullStringSchema, "The time between two dispatches; none means once."},
		extra{"next_dispatch", nullTimeSchema, "When the task is due."},
		extra{"last_task", nullURISchema, "The task that was dispatched last."})...)
	s.object("WorkerResponse", append(commonExtras(), extra{"name", stringSchema, ""},
		extra{"last_heartbeat", timeSchema, ""}, extra{"versions", mapSchema, ""},
		extra{"current_task", nullURISchema, ""})...)
}

func (s schemas) addStatusSchemas() {
	s.object("VersionResponse", extra{"component", stringSchema, ""}, extra{"version", stringSchema, ""},
		extra{"package", stringSchema, ""}, extra{"module", stringSchema, ""}, extra{"domain_compatible", boolSchema, ""})
	s.object("AppStatusResponse", extra{"name", stringSchema, ""}, extra{"last_heartbeat", timeSchema, ""},
		extra{"versions", mapSchema, ""})
	s.object("DatabaseConnectionResponse", extra{"connected", boolSchema, ""})
	s.object("RedisConnectionResponse", extra{"connected", boolSchema, ""})
	s.object("StorageResponse", extra{"total", nullIntSchema, ""}, extra{"used", nullIntSchema, ""},
		extra{"free", nullIntSchema, ""})
	s["StorageResponse"].Value.Nullable = true
	s.object("ContentSettingsResponse", extra{"content_origin", nullStringSchema, ""},
		extra{"content_path_prefix", stringSchema, ""})
	s.object("StatusResponse", extra{"domain_enabled", boolSchema, ""})
	s["StatusResponse"].Value.
		WithPropertyRef("versions", s.arrayOf("VersionResponse")).
		WithPropertyRef("online_workers", s.arrayOf("AppStatusResponse")).
		WithPropertyRef("online_api_apps", s.arrayOf("AppStatusResponse")).
		WithPropertyRef("online_content_apps", s.arrayOf("AppStatusResponse")).
		WithPropertyRef("database_connection", s.ref("DatabaseConnectionResponse")).
		WithPropertyRef("redis_connection", s.ref("RedisConnectionResponse")).
		WithPropertyRef("storage", s.ref("StorageResponse")).
		WithPropertyRef("content_settings", s.ref("ContentSettingsResponse"))
}

// ref points to a named schema.
func (s schemas) ref(name string) *openapi3.SchemaRef {
	target := s[name]
	if target == nil {
		return openapi3.NewSchemaRef("#/components/schemas/"+name, nil)
	}
	return openapi3.NewSchemaRef("#/components/schemas/"+name, target.Value)
}

func (s schemas) arrayOf(name string) *openapi3.SchemaRef {
	list := openapi3.NewArraySchema()
	list.Items = s.ref(name)
	return openapi3.NewSchemaRef("", list)
}
